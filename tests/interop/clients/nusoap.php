<?php
// NuSOAP as the DTC panel uses it: php nusoap.php URL CA-FILE rpc|wsdl NUSOAP-FOLDER, calls on standard input.

error_reporting(E_ALL & ~(E_DEPRECATED | E_WARNING | E_NOTICE));
[, $url, $ca, $mode, $library] = $argv;
require __DIR__ . '/tagged.php';
require "$library/nusoap.php";

$client = $mode === 'wsdl' ? new nusoap_client("$url?wsdl", 'wsdl') : new nusoap_client($url);
$client->setCredentials(getenv('SOAP_USER'), getenv('SOAP_PASSWORD'), 'basic', [
    'cainfofile' => $ca,
    'verifypeer' => 1,
    'verifyhost' => 2,
]);

// NuSOAP labels what PHP holds as ISO-8859-1, and hands out ISO-8859-1; the lines are UTF-8.
$recode = function (mixed $value, string $to, string $from) use (&$recode): mixed {
    if (is_array($value)) {
        return array_map(fn ($item) => $recode($item, $to, $from), $value);
    }
    return is_string($value) ? iconv($from, $to, $value) : $value;
};

foreach (calls() as ['operation' => $operation, 'params' => $params]) {
    $named = [];
    foreach ($params as [$name, $value]) {
        $named[$name] = $recode($value, 'ISO-8859-1', 'UTF-8');
    }
    $result = $mode === 'wsdl' ? $client->call($operation, $named) : $client->call($operation, $named, '', '', '');
    $result = $recode($result, 'UTF-8', 'ISO-8859-1');
    if ($client->fault) {
        tell($operation, ['fault' => [
            'code' => preg_replace('/^.*:/', '', $result['faultcode']),
            'message' => $result['faultstring'],
            'detail_code' => $result['detail']['fault']['code'] ?? null,
        ]]);
    } elseif ($client->getError()) {
        tell($operation, ['error' => $client->getError()]);
    } else {
        tell($operation, ['result' => tagged($result)]);
    }
}
