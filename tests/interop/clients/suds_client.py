"""suds: suds_client.py URL CA-FILE; SOAP_USER and SOAP_PASSWORD in the environment, calls on standard input."""

import os
import ssl
import sys
import urllib.request

import suds
import suds.client
import suds.transport.https

from tagged import calls, tagged, tell

url, ca = sys.argv[1:]


class PinnedTransport(suds.transport.https.HttpAuthenticated):
    """Basic authentication with every request, and the node's own certificate as the authority."""

    def u2handlers(self):
        context = ssl.create_default_context(cafile=ca)
        return [*super().u2handlers(), urllib.request.HTTPSHandler(context=context)]


def plain(value):
    if isinstance(value, suds.sudsobject.Object):
        return {key: plain(item) for key, item in suds.sudsobject.items(value)}
    return [plain(item) for item in value] if isinstance(value, list) else value


client = suds.client.Client(
    f"{url}?wsdl",
    cache=None,
    transport=PinnedTransport(
        username=os.environ["SOAP_USER"], password=os.environ["SOAP_PASSWORD"]
    ),
)

for operation, params in calls():
    try:
        tell(operation, result=tagged(plain(getattr(client.service, operation)(**params))))
    except suds.WebFault as web_fault:
        fault = web_fault.fault
        detail = getattr(getattr(fault, "detail", None), "fault", None)
        tell(
            operation,
            fault={
                "code": str(fault.faultcode).split(":")[-1],
                "message": str(fault.faultstring),
                "detail_code": None if detail is None else str(detail.code),
            },
        )
    except suds.transport.TransportError as error:
        tell(operation, error=f"HTTP {error.httpcode}")
    except Exception as error:  # suds tells HTTP errors other than 500 as a bare (status, reason)
        if not (error.args and isinstance(error.args[0], tuple)):
            raise
        tell(operation, error=f"HTTP {error.args[0][0]}")
