<?php
// PHP's own SoapClient: php phpsoap.php URL CA-FILE rpc|rpc-positional|wsdl11|wsdl12, calls on standard input.
// rpc: uri=urn:dtc-xen, named parameters; rpc-positional: uri='' (xmlns:ns1="" on the wire), parameters param0, param1, ...

[, $url, $ca, $mode] = $argv;
require __DIR__ . '/tagged.php';

$wsdl = str_starts_with($mode, 'wsdl');
$client = new SoapClient($wsdl ? "$url?wsdl" : null, [
    'login' => getenv('SOAP_USER'),
    'password' => getenv('SOAP_PASSWORD'),
    'stream_context' => stream_context_create(['ssl' => ['cafile' => $ca]]),
    'cache_wsdl' => WSDL_CACHE_NONE,
    'features' => SOAP_SINGLE_ELEMENT_ARRAYS,
    'soap_version' => $mode === 'wsdl12' ? SOAP_1_2 : SOAP_1_1,
] + ($wsdl ? [] : ['location' => $url, 'uri' => $mode === 'rpc' ? 'urn:dtc-xen' : '']));

foreach (calls() as ['operation' => $operation, 'params' => $params]) {
    $arguments = match ($mode) {
        'rpc' => array_map(fn ($param) => new SoapParam($param[1], $param[0]), $params),
        'rpc-positional' => array_column($params, 1),
        default => [array_column($params, 1, 0)],
    };
    try {
        tell($operation, ['result' => tagged($client->__soapCall($operation, $arguments))]);
    } catch (SoapFault $fault) {
        if ($fault->faultcode === 'HTTP') {
            tell($operation, ['error' => $fault->faultstring]);
            continue;
        }
        tell($operation, ['fault' => [
            'code' => preg_replace('/^.*:/', '', $fault->faultcode),
            'message' => $fault->faultstring,
            'detail_code' => $fault->detail->fault->code ?? null,
        ]]);
    }
}
