"""zeep, strict: zeep_client.py URL CA-FILE; SOAP_USER and SOAP_PASSWORD in the environment, calls on standard input."""

import os
import sys

import requests
import zeep
from zeep.helpers import serialize_object

from tagged import calls, tagged, tell

url, ca = sys.argv[1:]
session = requests.Session()
session.trust_env = False  # else a REQUESTS_CA_BUNDLE in the environment overrules `verify`
session.verify = ca
session.auth = (os.environ["SOAP_USER"], os.environ["SOAP_PASSWORD"])
client = zeep.Client(
    f"{url}?wsdl", transport=zeep.Transport(session=session), settings=zeep.Settings(strict=True)
)

for operation, params in calls():
    try:
        tell(operation, result=tagged(serialize_object(client.service[operation](**params), dict)))
    except zeep.exceptions.Fault as fault:
        code = None if fault.detail is None else fault.detail.findtext(".//{urn:dtc-xen}code")
        tell(
            operation,
            fault={"code": fault.code.split(":")[-1], "message": fault.message, "detail_code": code},
        )
    except zeep.exceptions.TransportError as error:
        tell(operation, error=f"HTTP {error.status_code}")
