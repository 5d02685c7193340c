"""A gRPC client that knows nothing of the API but what the daemon's reflection tells it.

Usage: client.py TARGET METHOD [JSON]

Calls METHOD (Service/Method in package capture.v1) with a request in protobuf's JSON, and prints each
response as one line of JSON. A status that is not OK is printed as {"code": ..., "message": ...,
"violations": [...]} and ends the program with 1. Of a stream, --count N responses are read. --tls goes
over TLS with files in PEM.
"""

import argparse
import json
import sys

import grpc
from google.protobuf import any_pb2, descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)


def violations(error):
    """The wrong fields that a google.rpc.BadRequest names, read without its generated code."""
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        fields = []
        for number, detail in wire_fields(value):
            if number != 3:
                continue
            packed = any_pb2.Any.FromString(detail)
            if packed.type_url.endswith("google.rpc.BadRequest"):
                for _, violation in wire_fields(packed.value):
                    fields.append(dict(wire_fields(violation))[1].decode())
        return fields
    return []


def wire_fields(data):
    """Numbers and contents of the length-delimited fields of a message."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = varint()
        if tag & 7 == 0:
            varint()
        elif tag & 7 == 2:
            length = varint()
            yield tag >> 3, data[at : at + length]
            at += length
        else:
            raise ValueError(f"wire type {tag & 7}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("method")
    parser.add_argument("request", nargs="?", default="{}")
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=30)
    parser.add_argument("--stock", action="store_true")
    parser.add_argument("--tls", nargs=3, metavar=("CA", "CERTIFICATE", "KEY"))
    arguments = parser.parse_args()

    # For the path of a unix socket gRPC makes an :authority that is not valid. A stock client sets nothing.
    options = [] if arguments.stock else [("grpc.default_authority", "localhost")]
    if arguments.tls:
        authority, certificate, key = (open(path, "rb").read() for path in arguments.tls)
        credentials = grpc.ssl_channel_credentials(authority, key, certificate)
        channel = grpc.secure_channel(arguments.target, credentials, options)
    else:
        channel = grpc.insecure_channel(arguments.target, options)
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    service_name, method_name = arguments.method.split("/")
    if "." not in service_name:
        service_name = f"capture.v1.{service_name}"
    method = pool.FindServiceByName(service_name).FindMethodByName(method_name)
    request_class = message_factory.GetMessageClass(method.input_type)
    response_class = message_factory.GetMessageClass(method.output_type)
    request = json_format.Parse(arguments.request, request_class(), descriptor_pool=pool)
    call = channel.unary_stream(
        f"/{service_name}/{method_name}",
        request_serializer=request_class.SerializeToString,
        response_deserializer=response_class.FromString,
    )
    try:
        answers = call(request, timeout=arguments.timeout)
        for count, answer in enumerate(answers, 1):
            text = json_format.MessageToDict(
                answer, preserving_proto_field_name=True, descriptor_pool=pool
            )
            print(json.dumps(text), flush=True)
            if count == arguments.count:
                answers.cancel()
                break
    except grpc.RpcError as error:
        refusal = {
            "code": error.code().name,
            "message": error.details(),
            "violations": violations(error),
        }
        print(json.dumps(refusal), flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
