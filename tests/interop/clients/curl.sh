#!/bin/bash
# curl: curl.sh URL CA-FILE legacy|modern [OPTION]; SOAP_USER and SOAP_PASSWORD in the environment. Standard input has a call a line,
# separated by tabs: OPERATION NAME=VALUE ...; a JSON line for each goes out: status, content type (a quoted charset loses its
# quotes), and the body in base64.
set -euo pipefail
url=$1 ca=$2 dialect=$3 option=${4:---http1.1}
body=$(mktemp)
trap 'rm -f -- "$body"' EXIT

escape() { printf '%s' "$1" | sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g'; }
quote() { printf '%s' "$1" | sed -e 's/[\\"]/\\&/g'; }

login="user = \"$(quote "$SOAP_USER:$SOAP_PASSWORD")\""

while IFS=$'\t' read -r -a fields; do
  operation=${fields[0]} parameters=
  for field in "${fields[@]:1}"; do
    parameters+="<${field%%=*}>$(escape "${field#*=}")</${field%%=*}>"
  done
  opening=$operation
  [ "$dialect" = legacy ] || opening="$operation xmlns=\"urn:dtc-xen\""
  envelope='<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body>'
  envelope+="<$opening>$parameters</$operation></S:Body></S:Envelope>"
  : >"$body"
  told=$(curl "$option" --silent --show-error --cacert "$ca" --config <(printf '%s\n' "$login") \
    --data-binary "$envelope" --output "$body" --write-out '"status":%{response_code},"content_type":"%{content_type}"' \
    -- "$url" | sed -e 's/charset="\([^"]*\)"/charset=\1/')
  printf '{"operation":"%s",%s,"body_base64":"%s"}\n' "$operation" "$told" "$(base64 -w 0 "$body")"
done
