#!/bin/sh
# Makes a core known in an AWS account: its thing, its certificate, its policy. Wants the AWS CLI, configured.
#   deploy/aws/new-core.sh NAME FOLDER
# Writes NAME.cert.pem, NAME.key.pem and ca.pem to FOLDER, and says which command comes next.
set -eu

if [ $# -ne 2 ]; then
  echo "usage: $0 NAME FOLDER, as: $0 core-7 aws/" >&2
  exit 2
fi
name=$1 folder=$2
here=$(cd "$(dirname "$0")" && pwd)
case $name in
  *[!a-zA-Z0-9:_-]* | "") echo "$name: expected 1 to 128 of the characters a-z A-Z 0-9 : _ -" >&2; exit 2 ;;
esac
if ! command -v aws >/dev/null; then
  echo "the AWS CLI is not installed: https://docs.aws.amazon.com/cli/" >&2
  exit 69
fi
mkdir -p "$folder"
cert="$folder/$name.cert.pem" key="$folder/$name.key.pem"
if [ -e "$cert" ] || [ -e "$key" ]; then
  echo "$cert or $key is there already: it is not overwritten" >&2
  exit 1
fi

# Of a thing's ARN, arn:PARTITION:iot:REGION:ACCOUNT:thing/NAME, all but the end is that of every resource.
arn=$(aws iot create-thing --thing-name "$name" --query thingArn --output text)
prefix=${arn%:thing/*}

umask 077
certificate=$(aws iot create-keys-and-certificate --set-as-active \
  --certificate-pem-outfile "$cert" --private-key-outfile "$key" --query certificateArn --output text)
chmod 644 "$cert"

policy="edgecore-$name"
sed -e "s|ARN:|$prefix:|g" -e "s|CORE|$name|g" "$here/core-policy.json" > "$folder/$name.policy.json"
aws iot create-policy --policy-name "$policy" --policy-document "file://$folder/$name.policy.json" >/dev/null
aws iot attach-policy --policy-name "$policy" --target "$certificate"
aws iot attach-thing-principal --thing-name "$name" --principal "$certificate"

# The server's certificate has been signed by this one since the ATS endpoints came (AWS IoT, "Server authentication").
curl -fsS https://www.amazontrust.com/repository/AmazonRootCA1.pem -o "$folder/ca.pem"
chmod 644 "$folder/ca.pem"

endpoint=$(aws iot describe-endpoint --endpoint-type iot:Data-ATS --query endpointAddress --output text)
credentials=$(aws iot describe-endpoint --endpoint-type iot:CredentialProvider --query endpointAddress --output text)
cat >&2 <<END
$name is known in AWS IoT. On the core:
  edgecore init --thing $name --cloud $endpoint \\
    --cloud-cert $cert --cloud-key $key --cloud-ca $folder/ca.pem
For functions with AWS credentials, under [cloud] in edgecore.toml:
  credentials_endpoint = "$credentials"
  role_alias = "edgecore"
END
