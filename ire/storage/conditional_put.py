"""Writes an object only if it does not exist, in one atomic request, which S3 supports and pyarrow does not.

With boto3 installed, the store itself refuses one of two machines that take an experiment at the same time.
"""

# boto3 has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from urllib.parse import parse_qs, unquote, urlsplit


def put_if_absent(location: str, bucket: str, key: str, content: bytes) -> bool | None:
    """Put an object; False if it already exists, None if the condition is not supported here. Raises `OSError`.

    `location` is the URI with which the store is opened, with credentials and pyarrow's query parameters.
    """
    try:
        import boto3  # of an extra
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return None
    parts = urlsplit(location)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    endpoint = options.get("endpoint_override")
    if endpoint and "://" not in endpoint:
        endpoint = f"{options.get('scheme', 'https')}://{endpoint}"
    keys = {}
    if parts.username and parts.password:
        keys = {
            "aws_access_key_id": unquote(parts.username),
            "aws_secret_access_key": unquote(parts.password),
        }
    try:
        client = boto3.client("s3", endpoint_url=endpoint, region_name=options.get("region"), **keys)
        client.put_object(Bucket=bucket, Key=key, Body=content, IfNoneMatch="*")
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status in (409, 412):
            return False
        if status in (400, 405, 501):  # a store or a boto3 without the condition
            return None
        raise OSError(str(error)) from error
    except (BotoCoreError, ValueError):  # pyarrow may still succeed
        return None
    return True
