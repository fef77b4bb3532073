"""MQTT's normative statements as bytes: what a client sends, and what this server must answer.

Each row is named by its statement. "5:" rows are [MQTT-...] of MQTT 5, "3:" of MQTT 3.1.1. A row says
the bytes after a successful CONNECT ("live") or instead of it ("first"), what is sent back, and whether
the connection is closed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from dialogue import CLOSED, CONNACK, OPEN, exchange, rows

CONNECT_3 = "10 0d 0004 4d515454 04 02 003c 0001 63"
CONNECT_5 = "10 0e 0004 4d515454 05 02 003c 00 0001 63"
CONNACK_5 = CONNACK[5].hex()

FIRST = [
    ("3: MQTT-3.1.0-1 the first packet is CONNECT", "c0 00", "", CLOSED),
    ("5: MQTT-3.1.0-1 the first packet is CONNECT", "30 03 0001 74", "", CLOSED),
    (
        "3: MQTT-3.1.2-1 another protocol name",
        "10 0d 0004 48545450 04 02 003c 0001 63",
        "20 02 00 01",
        CLOSED,
    ),
    (
        "3: MQTT-3.1.2-2 another level is answered with 0x01",
        "10 0d 0004 4d515454 06 02 003c 0001 63",
        "20 02 00 01",
        CLOSED,
    ),
    (
        "3: MQTT-3.1.2-3, 3: MQTT-3.2.2-6 the reserved flag is 0",
        "10 0d 0004 4d515454 04 03 003c 0001 63",
        "",
        CLOSED,
    ),
    (
        "3: MQTT-3.1.2-22 a password needs a user name",
        "10 10 0004 4d515454 04 42 003c 0001 63 0001 78",
        "",
        CLOSED,
    ),
    (
        "3: MQTT-3.1.3-8, 3: MQTT-3.1.3-9, 3: MQTT-3.2.2-4, 3: MQTT-3.2.2-5 an empty id without clean session",
        "10 0c 0004 4d515454 04 00 003c 0000",
        "20 02 00 02",
        CLOSED,
    ),
    (
        "3: MQTT-3.1.3-7, 3: MQTT-3.1.3-6 an empty id with clean session is accepted",
        "10 0c 0004 4d515454 04 02 003c 0000",
        "20 02 00 00",
        OPEN,
    ),
    (
        "3: MQTT-3.2.2-1, 3: MQTT-3.1.4-4, 3: MQTT-3.2.0-1 session present is 0 after a clean session",
        CONNECT_3,
        "20 02 00 00",
        OPEN,
    ),
    (
        "3: MQTT-1.5.3-1, 3: MQTT-3.1.3-4 the client id is UTF-8",
        "10 0d 0004 4d515454 04 02 003c 0001 ff",
        "",
        CLOSED,
    ),
    ("3: MQTT-3.1.2-14 will QoS 3", "10 13 0004 4d515454 04 1e 003c 0001 63 0001 74 0001 78", "", CLOSED),
    (
        "3: MQTT-3.1.2-11, 3: MQTT-3.1.2-13 will QoS without a will",
        "10 0d 0004 4d515454 04 0a 003c 0001 63",
        "",
        CLOSED,
    ),
    (
        "3: MQTT-3.1.2-11 a will without its flag",
        "10 13 0004 4d515454 04 02 003c 0001 63 0001 74 0001 78",
        "",
        CLOSED,
    ),
    ("3: MQTT-3.1.2-15 will retain without a will", "10 0d 0004 4d515454 04 22 003c 0001 63", "", CLOSED),
    ("3: MQTT-3.1.2-9 the will flag without a will", "10 0d 0004 4d515454 04 06 003c 0001 63", "", CLOSED),
    (
        "3: MQTT-3.1.2-18 a user name without its flag",
        "10 10 0004 4d515454 04 02 003c 0001 63 0001 75",
        "",
        CLOSED,
    ),
    (
        "3: MQTT-3.1.2-19 the user name flag without a user name",
        "10 0d 0004 4d515454 04 82 003c 0001 63",
        "",
        CLOSED,
    ),
    (
        "3: MQTT-3.1.2-20 a password without its flag",
        "10 13 0004 4d515454 04 82 003c 0001 63 0001 75 0001 70",
        "",
        CLOSED,
    ),
    (
        "3: MQTT-3.1.2-21 the password flag without a password",
        "10 10 0004 4d515454 04 c2 003c 0001 63 0001 75",
        "",
        CLOSED,
    ),
    ("3: MQTT-3.1.3-3 no client id at all", "10 0a 0004 4d515454 04 02 003c", "", CLOSED),
    (
        "3: MQTT-3.1.3-10 the will topic is UTF-8",
        "10 13 0004 4d515454 04 06 003c 0001 63 0001 ff 0001 78",
        "",
        CLOSED,
    ),
    ("3: MQTT-3.1.3-11 the user name is UTF-8", "10 10 0004 4d515454 04 82 003c 0001 63 0001 ff", "", CLOSED),
    (
        "3: MQTT-3.1.3-5 a client id of 23 letters and digits",
        "10 23 0004 4d515454 04 02 003c 0017 303132333435363738396162637a59414243585a595a30",
        "20 02 00 00",
        OPEN,
    ),
    (
        "3: MQTT-3.1.3-1 the payload's fields in their order",
        "10 1b 0004 4d515454 04 c6 003c 0001 63 0003 742f77 0001 78 0001 75 0001 70",
        "20 02 00 00",
        OPEN,
    ),
    (
        "3: MQTT-3.1.4-5 nothing after a refused CONNECT is looked at",
        "10 0d 0004 4d515454 06 02 003c 0001 63 c0 00",
        "20 02 00 01",
        CLOSED,
    ),
    (
        "5: MQTT-3.1.3-1 the payload's fields in their order",
        "10 1d 0004 4d515454 05 c6 003c 00 0001 63 00 0003 742f77 0001 78 0001 75 0001 70",
        CONNACK_5,
        OPEN,
    ),
    (
        "5: MQTT-3.1.2-19 a password needs no user name",
        "10 11 0004 4d515454 05 42 003c 00 0001 63 0001 70",
        CONNACK_5,
        OPEN,
    ),
    (
        "5: MQTT-3.1.2-1 another protocol name",
        "10 0e 0004 48545450 05 02 003c 00 0001 63",
        "20 02 00 01",
        CLOSED,
    ),
    ("5: MQTT-3.1.2-2 another version", "10 0e 0004 4d515454 07 02 003c 00 0001 63", "20 02 00 01", CLOSED),
    ("5: 3.2.2.3 what is there and what is not", CONNECT_5, CONNACK_5, OPEN),
    ("5: MQTT-3.1.2-3 the reserved flag is 0", "10 0e 0004 4d515454 05 03 003c 00 0001 63", "", CLOSED),
    (
        "5: MQTT-3.1.2-12 will QoS 3",
        "10 15 0004 4d515454 05 1e 003c 00 0001 63 00 0001 74 0001 78",
        "",
        CLOSED,
    ),
    ("5: MQTT-3.1.2-11 will QoS without a will", "10 0e 0004 4d515454 05 0a 003c 00 0001 63", "", CLOSED),
    ("5: MQTT-3.1.2-13 will retain without a will", "10 0e 0004 4d515454 05 22 003c 00 0001 63", "", CLOSED),
    ("5: MQTT-3.1.2-9 the will flag without a will", "10 0e 0004 4d515454 05 06 003c 00 0001 63", "", CLOSED),
    (
        "5: MQTT-3.1.2-16 a user name without its flag",
        "10 11 0004 4d515454 05 02 003c 00 0001 63 0001 75",
        "",
        CLOSED,
    ),
    (
        "5: MQTT-3.1.2-17 the user name flag without a user name",
        "10 0e 0004 4d515454 05 82 003c 00 0001 63",
        "",
        CLOSED,
    ),
    (
        "5: MQTT-3.1.2-18 a password without its flag",
        "10 11 0004 4d515454 05 02 003c 00 0001 63 0001 70",
        "",
        CLOSED,
    ),
    (
        "5: MQTT-3.1.2-19 the password flag without a password",
        "10 0e 0004 4d515454 05 42 003c 00 0001 63",
        "",
        CLOSED,
    ),
    ("5: MQTT-3.1.3-3 no client id at all", "10 0b 0004 4d515454 05 02 003c 00", "", CLOSED),
    (
        "5: MQTT-3.1.3-4, 5: MQTT-1.5.4-1 the client id is UTF-8",
        "10 0e 0004 4d515454 05 02 003c 00 0001 ff",
        "",
        CLOSED,
    ),
    ("5: MQTT-1.5.4-1 surrogates", "10 10 0004 4d515454 05 02 003c 00 0003 eda080", "", CLOSED),
    ("5: MQTT-1.5.4-2 U+0000 in a client id", "10 0e 0004 4d515454 05 02 003c 00 0001 00", "", CLOSED),
    (
        "5: MQTT-3.1.3-11 the will topic is UTF-8",
        "10 15 0004 4d515454 05 06 003c 00 0001 63 00 0001 ff 0001 78",
        "",
        CLOSED,
    ),
    (
        "5: MQTT-3.1.3-12 the user name is UTF-8",
        "10 11 0004 4d515454 05 82 003c 00 0001 63 0001 ff",
        "",
        CLOSED,
    ),
    ("5: MQTT-3.1.4-1 excess bytes", "10 0f 0004 4d515454 05 02 003c 00 0001 63 00", "", CLOSED),
    ("5: MQTT-2.2.2-1 no property length", "10 0d 0004 4d515454 05 02 003c 0001 63", "", CLOSED),
    ("3: MQTT-3.1.4-1 excess bytes", "10 0e 0004 4d515454 04 02 003c 0001 63 00", "", CLOSED),
]

LIVE_3 = [
    ("3: MQTT-3.3.2-1 the topic name is UTF-8", "30 03 0001 ff", "", CLOSED),
    ("3: MQTT-3.8.3-1 the topic filter is UTF-8", "82 06 0001 0001 ff 00", "", CLOSED),
    ("3: MQTT-3.10.3-1 the topic filter of UNSUBSCRIBE is UTF-8", "a2 05 0001 0001 ff", "", CLOSED),
    (
        "3: MQTT-2.3.1-5 QoS 0 has no packet id",
        "82 08 0001 0003 742f61 00 30 07 0003 742f61 0001",
        "90 03 0001 00 30 07 0003 742f61 0001",
        OPEN,
    ),
    (
        "3: MQTT-1.5.3-3 U+FEFF is kept",
        "82 08 0001 0003 742f2b 00 30 08 0005 742fefbbbf 78",
        "90 03 0001 00 30 08 0005 742fefbbbf 78",
        OPEN,
    ),
    (
        "3: MQTT-3.10.4-6 one answer for many filters",
        "82 08 0001 0003 742f61 00 a2 0c 0002 0003 742f61 0003 742f62 c0 00",
        "90 03 0001 00 b0 02 0002 d0 00",
        OPEN,
    ),
    ("3: MQTT-3.1.0-2, 3: MQTT-4.8.0-1 a second CONNECT", CONNECT_3, "", CLOSED),
    ("3: MQTT-3.12.4-1 PINGREQ is answered", "c0 00", "d0 00", OPEN),
    ("3: MQTT-2.2.2-2 reserved flags of PINGREQ", "c1 00", "", CLOSED),
    ("3: 3.12 excess bytes in PINGREQ", "c0 01 00", "", CLOSED),
    ("3: 3.4 excess bytes in PUBACK", "40 03 0001 00", "", CLOSED),
    ("3: 3.5 excess bytes in PUBREC", "50 03 0001 00", "", CLOSED),
    ("3: 3.7 excess bytes in PUBCOMP", "70 03 0001 00", "", CLOSED),
    ("3: MQTT-2.2.2-2, 3: MQTT-3.6.1-1 PUBREL has flags 0010", "60 02 0001", "", CLOSED),
    ("3: MQTT-3.3.1-4 QoS 3", "36 05 0001 74 0001", "", CLOSED),
    ("3: MQTT-3.3.1-2 DUP at QoS 0", "38 03 0001 74", "", CLOSED),
    ("3: MQTT-2.3.1-1 packet id 0 in SUBSCRIBE", "82 08 0000 0003 742f23 00", "", CLOSED),
    ("3: MQTT-2.3.1-1 packet id 0 in UNSUBSCRIBE", "a2 07 0000 0003 742f23", "", CLOSED),
    ("3: MQTT-4.3.3-2 PUBREL for nothing is answered too", "62 02 0009", "70 02 0009", OPEN),
    ("3: MQTT-2.3.1-1 packet id 0", "32 05 0001 74 0000", "", CLOSED),
    ("3: MQTT-3.3.2-2, 3: MQTT-4.7.1-1 a wildcard in a topic name", "30 05 0003 742f23", "", CLOSED),
    ("3: MQTT-4.7.3-1 an empty topic name", "30 02 0000", "", CLOSED),
    ("3: MQTT-4.7.3-2, 3: MQTT-1.5.3-2 U+0000 in a topic name", "30 04 0002 7400", "", CLOSED),
    (
        "3: MQTT-3.3.4-1, 3: MQTT-4.3.2-2 QoS 1 is answered with PUBACK",
        "32 07 0003 742f61 0001",
        "40 02 0001",
        OPEN,
    ),
    ("3: MQTT-3.3.4-1 QoS 2 is answered with PUBREC", "34 07 0003 742f61 0001", "50 02 0001", OPEN),
    (
        "3: MQTT-4.3.3-2, 3: MQTT-2.3.1-6 PUBREL is answered with PUBCOMP",
        "34 07 0003 742f61 0001 62 02 0001",
        "50 02 0001 70 02 0001",
        OPEN,
    ),
    ("3: MQTT-3.8.1-1 SUBSCRIBE has flags 0010", "80 08 0001 0003 742f23 00", "", CLOSED),
    ("3: MQTT-3.8.3-3 SUBSCRIBE without a filter", "82 02 0001", "", CLOSED),
    ("3: MQTT-3.8.3-4 reserved bits of the QoS byte", "82 08 0001 0003 742f23 04", "", CLOSED),
    ("3: MQTT-3.8.3-4 QoS 3 in SUBSCRIBE", "82 08 0001 0003 742f23 03", "", CLOSED),
    (
        "3: MQTT-3.8.4-1, 3: MQTT-3.8.4-2, 3: MQTT-2.3.1-7 SUBSCRIBE is answered with SUBACK",
        "82 08 0001 0003 742f23 02",
        "90 03 0001 02",
        OPEN,
    ),
    (
        "3: MQTT-3.8.4-5, 3: MQTT-3.8.4-4, 3: MQTT-3.9.3-1, 3: MQTT-3.9.3-2 one return code for each filter",
        "82 0c 0001 0003 742f23 01 0001 78 01",
        "90 04 0001 01 80",
        OPEN,
    ),
    ("3: MQTT-4.7.1-2 # that is not the last level", "82 0a 0001 0005 742f232f61 00", "", CLOSED),
    ("3: MQTT-4.7.1-3 + that is not a whole level", "82 07 0001 0002 742b 00", "", CLOSED),
    ("3: MQTT-3.10.1-1 UNSUBSCRIBE has flags 0010", "a0 07 0001 0003 742f23", "", CLOSED),
    ("3: MQTT-3.10.3-2 UNSUBSCRIBE without a filter", "a2 02 0001", "", CLOSED),
    (
        "3: MQTT-3.10.4-5, 3: MQTT-3.10.4-4 UNSUBSCRIBE of nothing is answered",
        "a2 07 0001 0003 742f23",
        "b0 02 0001",
        OPEN,
    ),
    ("3: MQTT-3.14.1-1 reserved flags of DISCONNECT", "e1 00", "", CLOSED),
    ("3: 3.14.4 DISCONNECT closes", "e0 00", "", CLOSED),
    ("3: 2.2.1 packet type 0", "00 00", "", CLOSED),
    ("3: 2.2.1 packet type 15", "f0 00", "", CLOSED),
    ("3: 2.2.1 CONNACK from a client", "20 02 0000", "", CLOSED),
    ("3: 2.2.1 SUBACK from a client", "90 03 0001 00", "", CLOSED),
    ("3: 2.2.1 UNSUBACK from a client", "b0 02 0001", "", CLOSED),
    ("3: 2.2.1 PINGRESP from a client", "d0 00", "", CLOSED),
    ("3: 2.2.3 a remaining length of five bytes", "30 ff ff ff ff 01", "", CLOSED),
    (
        "3: 3.8.4 a message to oneself",
        "82 08 0001 0003 742f23 00 30 06 0003 742f61 78",
        "90 03 0001 00 30 06 0003 742f61 78",
        OPEN,
    ),
]

# What 5 says is in the reason code of DISCONNECT, which here is the byte after its length.
LIVE_5 = [
    ("5: MQTT-3.8.1-1 SUBSCRIBE has flags 0010", "80 09 0001 00 0003 742f23 00", 0x81),
    ("5: MQTT-3.10.1-1 UNSUBSCRIBE has flags 0010", "a0 08 0001 00 0003 742f23", 0x81),
    ("5: MQTT-3.6.1-1 PUBREL has flags 0010", "60 02 0001", 0x81),
    ("5: MQTT-3.14.1-1 reserved flags of DISCONNECT", "e1 00", 0x81),
    ("5: MQTT-3.15.1-1 reserved flags of AUTH", "f1 00", 0x81),
    ("5: MQTT-3.15.2-1 a reason code that AUTH does not have", "f0 02 20 00", 0x82),
    ("5: MQTT-3.5.2-1 a reason code that PUBREC does not have", "50 03 0001 8e", 0x82),
    ("5: MQTT-3.6.2-1 a reason code that PUBREL does not have", "62 03 0001 80", 0x82),
    ("5: MQTT-3.7.2-1 a reason code that PUBCOMP does not have", "70 03 0001 80", 0x82),
    ("5: MQTT-3.3.1-2 DUP at QoS 0", "38 04 0001 74 00", 0x81),
    ("5: MQTT-3.3.2-1 the topic name is UTF-8", "30 04 0001 ff 00", 0x81),
    ("5: MQTT-3.3.2-13 the response topic is UTF-8", "30 0a 0003 742f61 04 08 0001 ff", 0x81),
    ("5: MQTT-3.3.2-19 the content type is UTF-8", "30 0a 0003 742f61 04 03 0001 ff", 0x81),
    ("5: MQTT-3.8.3-1 the topic filter is UTF-8", "82 07 0001 00 0001 ff 00", 0x81),
    ("5: MQTT-3.10.3-1 the topic filter of UNSUBSCRIBE is UTF-8", "a2 06 0001 00 0001 ff", 0x81),
    ("5: MQTT-3.10.3-2 UNSUBSCRIBE without a filter", "a2 03 0001 00", 0x82),
    ("5: MQTT-4.7.1-1 # that is not the last level", "82 0b 0001 00 0005 742f232f61 00", 0x8F),
    ("5: MQTT-4.7.1-2 + that is not a whole level", "82 08 0001 00 0002 742b 00", 0x8F),
    ("5: MQTT-4.7.3-1 an empty topic name", "30 03 0000 00", 0x90),
    ("5: MQTT-4.7.3-1 an empty topic filter", "82 06 0001 00 0000 00", 0x8F),
    ("5: MQTT-4.7.3-2 U+0000 in a topic filter", "82 07 0001 00 0001 00 00", 0x81),
    ("5: MQTT-4.12.0-7 AUTH after a CONNECT without a method", "f0 02 18 00", 0x82),
    ("5: 2.1.2 packet type 0", "00 00", 0x81),
    ("5: 2.1.2 CONNACK from a client", "20 03 00 00 00", 0x82),
    ("5: 2.1.2 SUBACK from a client", "90 04 0001 00 00", 0x82),
    ("5: 2.1.2 UNSUBACK from a client", "b0 04 0001 00 00", 0x82),
    ("5: 2.1.2 PINGRESP from a client", "d0 00", 0x82),
    (
        "5: MQTT-3.14.2-1 a second CONNECT of a version that is not known",
        "10 0e 0004 4d515454 06 02 003c 00 0001 63",
        0x82,
    ),
    ("5: MQTT-3.1.0-2, 5: MQTT-3.2.0-2 a second CONNECT", CONNECT_5, 0x82),
    ("5: MQTT-4.13.1-1, 5: MQTT-2.1.3-1 reserved flags", "c1 00", 0x81),
    ("5: MQTT-3.3.1-4 QoS 3", "36 06 0001 74 0001 00", 0x81),
    ("5: MQTT-3.3.2-2, 5: MQTT-4.7.0-1 a wildcard in a topic name", "30 06 0003 742f23 00", 0x90),
    ("5: MQTT-3.3.2-8 topic alias 0", "30 09 0003 742f61 03 23 0000", 0x94),
    (
        "5: MQTT-3.3.2-9, 5: MQTT-3.2.2-17, 5: MQTT-3.2.2-18 a topic alias beyond the maximum",
        "30 09 0003 742f61 03 23 ffff",
        0x94,
    ),
    ("5: MQTT-3.3.2-14 a wildcard in a response topic", "30 0a 0003 742f61 04 08 0001 2b", 0x90),
    ("5: MQTT-3.3.4-6 a subscription identifier from a client", "30 08 0003 742f61 02 0b 01", 0x82),
    ("5: 3.3.2.3.6 two Correlation Data", "30 0e 0003 742f61 08 09 0001 61 09 0001 62", 0x82),
    ("5: MQTT-2.2.1-3 packet id 0 in SUBSCRIBE", "82 09 0000 00 0003 742f23 00", 0x82),
    ("5: MQTT-2.2.1-3 packet id 0 in UNSUBSCRIBE", "a2 08 0000 00 0003 742f23", 0x82),
    ("5: MQTT-1.5.7-1 a user property's name is UTF-8", "30 0d 0003 742f61 07 26 0001 ff 0001 61", 0x81),
    ("5: MQTT-1.5.7-1 a user property's value is UTF-8", "30 0d 0003 742f61 07 26 0001 61 0001 ff", 0x81),
    ("5: MQTT-4.12.1-2 re-authentication where there was no method", "f0 06 19 04 15 0001 78", 0x82),
    ("5: 3.8.2.1.2 two subscription identifiers", "82 0d 0001 04 0b01 0b02 0003 742f23 00", 0x82),
    ("5: MQTT-2.2.1-3 packet id 0", "32 06 0001 74 0000 00", 0x82),
    ("5: MQTT-3.8.3-2 SUBSCRIBE without a filter", "82 03 0001 00", 0x82),
    ("5: MQTT-3.8.3-4 no local on a shared subscription", "82 10 0001 00 000a 2473686172652f672f74 04", 0x82),
    ("5: MQTT-3.8.3-5 reserved bits of the options", "82 09 0001 00 0003 742f23 40", 0x81),
    ("5: 3.8.3.1 retain handling 3", "82 09 0001 00 0003 742f23 30", 0x82),
    ("5: 2.2.2.2 a property that may not stand there", "32 0b 0003 742f61 0001 03 21 0001", 0x81),
    ("5: 2.2.2.2 an undefined property", "30 08 0003 742f61 02 7f 00", 0x81),
    ("5: MQTT-1.5.5-1 a length not in its shortest form", "30 80 00", 0x81),
    ("5: 3.14.2.2.2 DISCONNECT sets a session expiry", "e0 07 00 05 11 00000001", 0x82),
    ("5: MQTT-4.12.0-7 AUTH without a method in CONNECT", "f0 00", 0x82),
    ("5: MQTT-3.4.2-1 a reason code that PUBACK does not have", "40 03 0001 8e", 0x82),
    ("5: MQTT-3.2.2-15 a packet larger than the maximum", "30 ff ff 7f", 0x95),
]

LIVE_5_ANSWERED = [
    (
        "5: MQTT-3.3.4-1, 5: MQTT-4.3.2-4, 5: MQTT-2.2.1-5 QoS 1 is answered with PUBACK",
        "32 08 0003 742f61 0007 00",
        "40 02 0007",
    ),
    (
        "5: MQTT-3.3.4-1, 5: MQTT-4.3.3-8 QoS 2 is answered with PUBREC",
        "34 08 0003 742f61 0007 00",
        "50 02 0007",
    ),
    (
        "5: MQTT-4.3.3-11, 5: MQTT-2.2.1-5 PUBREL is answered with PUBCOMP",
        "34 08 0003 742f61 0001 00 62 02 0001",
        "50 02 0001 70 02 0001",
    ),
    ("5: MQTT-3.5.2-1 a QoS 2 PUBLISH that no route allows", "34 06 0001 78 0007 00", "50 03 0007 87"),
    (
        "5: MQTT-3.10.4-6, 5: MQTT-3.11.3-1 one answer for many filters, in their order",
        "82 09 0001 00 0003 742f61 00 a2 0d 0002 00 0003 742f61 0003 742f62",
        "90 04 0001 00 00 b0 05 0002 00 00 11",
    ),
    (
        "5: MQTT-4.9.0-3 all else goes on while messages are unacknowledged",
        "34 08 0003 742f61 0001 00 c0 00 82 09 0002 00 0003 742f62 00",
        "50 02 0001 d0 00 90 04 0002 00 00",
    ),
    (
        "5: MQTT-1.5.4-3 U+FEFF is kept",
        "82 09 0001 00 0003 742f2b 00 30 09 0005 742fefbbbf 00 78",
        "90 04 0001 00 00 30 09 0005 742fefbbbf 00 78",
    ),
    (
        "5: MQTT-2.2.1-2 QoS 0 has no packet id",
        "82 09 0001 00 0003 742f61 00 30 08 0003 742f61 00 0001",
        "90 04 0001 00 00 30 08 0003 742f61 00 0001",
    ),
    ("5: MQTT-3.12.4-1 PINGREQ is answered", "c0 00", "d0 00"),
    ("5: MQTT-3.4.2-1 PUBLISH that no route allows", "32 06 0001 78 0007 00", "40 03 0007 87"),
    (
        "5: MQTT-3.8.4-6, 5: MQTT-3.8.4-5, 5: MQTT-3.8.4-1, 5: MQTT-3.8.4-2, 5: MQTT-3.9.3-1, 5: MQTT-3.9.3-2, 5: MQTT-2.2.1-6 one reason code for each filter",
        "82 0d 0001 00 0003 742f23 02 0001 78 00",
        "90 05 0001 00 02 87",
    ),
    (
        "5: MQTT-3.11.3-2, 5: MQTT-3.10.4-4, 5: MQTT-3.10.4-5 UNSUBSCRIBE of nothing",
        "a2 08 0001 00 0003 742f23",
        "b0 04 0001 00 11",
    ),
    ("5: MQTT-3.7.2-1 PUBREL for nothing", "62 02 0009", "70 03 0009 92"),
    ("5: MQTT-3.6.2-1 PUBREC for nothing", "50 02 0009", "62 03 0009 92"),
]


@pytest.mark.parametrize(("data", "answer", "closed"), rows(FIRST))
def test_the_first_packet(data, answer, closed):
    assert exchange(data) == (bytes.fromhex(answer), closed)


@pytest.mark.parametrize(("data", "answer", "closed"), rows(LIVE_3))
def test_a_live_session_of_3_1_1(data, answer, closed):
    assert exchange(CONNECT_3, data) == (bytes.fromhex(answer), closed)


@pytest.mark.parametrize(("data", "reason"), rows(LIVE_5))
def test_a_fault_in_5_is_answered_with_its_reason(data, reason):
    found, closed = exchange(CONNECT_5, data)
    assert closed
    assert (found[0], found[2]) == (0xE0, reason)


@pytest.mark.parametrize(("data", "answer"), rows(LIVE_5_ANSWERED))
def test_a_live_session_of_5(data, answer):
    assert exchange(CONNECT_5, data) == (bytes.fromhex(answer), OPEN)
