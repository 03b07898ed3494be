"""A registry with one of everything, so that requests made from ECR's model have something to be about."""

import hashlib
import json

import boto3
from botocore.config import Config
from botocore.model import ListShape, Shape

from model_requests import Path

REGION = "us-east-1"
NAME = "world"
TAG = "latest"
BLOB = b"ab"
OCI = "application/vnd.oci.image"
MAKERS = ("Create",)


class EcrWorld:
    """A repository with an image in it, an upload that goes on, and what can be set about all that."""

    def __init__(self, endpoint: str, account: str, service: str) -> None:
        self.account, self.service, self.count = account, service, 0
        self.digest = f"sha256:{hashlib.sha256(BLOB).hexdigest()}"
        credentials = {"aws_access_key_id": account, "aws_secret_access_key": "test"}
        config = Config(retries={"max_attempts": 0})
        client = boto3.client(service, endpoint_url=endpoint, region_name=REGION, config=config, **credentials)
        client.create_repository(repositoryName=NAME)
        self.policy = json.dumps({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": f"{service}:*"}]})
        selection = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 1}
        rule = {"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}
        self.lifecycle = json.dumps({"rules": [rule]})
        descriptor = {"mediaType": f"{OCI}.config.v1+json", "digest": self.digest, "size": len(BLOB)}
        self.manifest = json.dumps(
            {"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "config": descriptor, "layers": [descriptor]}
        )
        self.upload = "00000000-0000-4000-8000-000000000000"
        if service == "ecr":
            self._fill(client)

    def _fill(self, ecr) -> None:
        upload = ecr.initiate_layer_upload(repositoryName=NAME)["uploadId"]
        part = {"partFirstByte": 0, "partLastByte": len(BLOB) - 1, "layerPartBlob": BLOB}
        ecr.upload_layer_part(repositoryName=NAME, uploadId=upload, **part)
        ecr.complete_layer_upload(repositoryName=NAME, uploadId=upload, layerDigests=[self.digest])
        ecr.put_image(repositoryName=NAME, imageManifest=self.manifest, imageTag=TAG)
        ecr.put_lifecycle_policy(repositoryName=NAME, lifecyclePolicyText=self.lifecycle)
        ecr.start_lifecycle_policy_preview(repositoryName=NAME)
        ecr.set_repository_policy(repositoryName=NAME, policyText=self.policy)
        ecr.create_pull_through_cache_rule(ecrRepositoryPrefix=NAME, upstreamRegistryUrl="quay.io")
        ecr.create_repository_creation_template(prefix=NAME, appliedFor=["REPLICATION"])
        self.upload = ecr.initiate_layer_upload(repositoryName=NAME)["uploadId"]

    def base(self, operation: str) -> dict[str, object]:
        """Returns members that make a request of an operation succeed where those that the model requires do not."""
        return {"PutAccountSetting": {"name": "BASIC_SCAN_TYPE_VERSION", "value": "CLAIR"}}.get(operation, {})

    def value(self, operation: str, path: Path, shape: Shape) -> object:
        """Returns a value for a member of a request; none leaves it to the model."""
        name = next((step for step in reversed(path) if isinstance(step, str)), "")
        if operation.startswith(MAKERS) and name in ("repositoryName", "ecrRepositoryPrefix", "prefix"):
            self.count += 1
            return f"new-{self.count}"
        scopes = {"ecr": f"{REGION}:{self.account}", "ecr-public": f":{self.account}"}
        words = {
            "ecrRepositoryPrefix": NAME,
            "filter": NAME,
            "imageDigest": None if operation == "PutImage" else f"sha256:{hashlib.sha256(self.manifest.encode()).hexdigest()}",
            "imageManifest": self.manifest,
            "imageManifestMediaType": f"{OCI}.manifest.v1+json",
            "imageTag": TAG,
            "layerDigest": self.digest,
            "layerDigests": self.digest,
            "layerPartBlob": "YWI=",
            "lifecyclePolicy": self.lifecycle,
            "lifecyclePolicyText": self.lifecycle,
            "maxResults": 1,
            "name": "BASIC_SCAN_TYPE_VERSION",
            "partFirstByte": 0,
            "partLastByte": len(BLOB) - 1,
            "policyText": self.policy,
            "prefix": NAME,
            "region": "eu-west-1",
            "registryId": self.account,
            "registryIds": self.account,
            "repositoryName": NAME,
            "repositoryNames": NAME,
            "repositoryPolicy": self.policy,
            "resourceArn": f"arn:aws:{self.service}:{scopes[self.service]}:repository/{NAME}",
            "uploadId": self.upload,
            "upstreamRegistryUrl": "quay.io",
        }
        found = words.get(name)
        if found is None or shape.type_name in ("structure", "map"):
            return None
        if isinstance(shape, ListShape):
            return [found] if shape.member.type_name == "string" else None
        return found
