<?php
// A call as the DTC panel makes it, with NuSOAP and without a WSDL: php panel.php NUSOAP-FOLDER URL CA-FILE OPERATION, the
// named parameters as JSON on standard input. Prints what the panel's PHP code gets, as JSON. A panel waits as long as it takes.

error_reporting(E_ALL & ~(E_DEPRECATED | E_WARNING | E_NOTICE));
[, $library, $url, $ca, $operation] = $argv;
require "$library/nusoap.php";

$client = new nusoap_client($url, false, false, false, false, false, 0, 0);
$client->setCredentials('dtc-xen', getenv('SOAP_PASSWORD'), 'basic', ['cainfofile' => $ca, 'verifypeer' => 1, 'verifyhost' => 2]);
$result = $client->call($operation, json_decode(stream_get_contents(STDIN), true), '', '', false, true);
if ($client->fault || $client->getError()) {
    fwrite(STDERR, $client->fault ? $result['faultstring'] : $client->getError());
    exit(1);
}
echo json_encode($result);
