from edgecore.inference.scenes.draws import Split
from edgecore.inference.scenes.parameters import HEIGHT, WIDTH, Light, draw_scene


def test_every_scene_fits_the_picture():
    for seed in range(200):
        for split in Split:
            scene = draw_scene(seed, split)
            road = scene.road
            assert 5 < road.left < road.right < WIDTH - 5
            assert 0 < road.crosswalk_top < road.strip_foot(0) < road.strip_foot(1) < HEIGHT * 0.6
            assert len(road.lane_speeds) == len(road.lane_directions) >= 2
            assert {-1, 1} == set(road.lane_directions)
            assert scene.traffic.cycle == scene.traffic.vehicle_frames + scene.traffic.pedestrian_frames


def test_the_light_can_be_fixed():
    lights = {draw_scene(seed).lighting.light for seed in range(40)}
    assert lights == {Light.DAY, Light.NIGHT}
    assert {draw_scene(seed, light=Light.NIGHT).lighting.light for seed in range(40)} == {Light.NIGHT}


def test_training_and_held_out_scenes_share_no_look():
    def looks(split):
        scenes = [draw_scene(seed, split) for seed in range(300)]
        return {scene.ground.verge_kind for scene in scenes}, {scene.road.lane_width for scene in scenes}

    for training, held_out in zip(looks(Split.TRAINING), looks(Split.HELD_OUT), strict=True):
        assert not training & held_out
