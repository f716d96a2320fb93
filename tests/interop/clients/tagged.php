<?php
// What a PHP client holds, as JSON that keeps PHP's types apart: {"int"}, {"float"}, {"bool"}, {"dict"}, lists, text, null.

function tagged(mixed $value): mixed
{
    return match (true) {
        is_int($value) => ['int' => (string) $value],
        is_float($value) => ['float' => $value],
        is_bool($value) => ['bool' => $value],
        is_object($value) => ['dict' => (object) array_map('tagged', get_object_vars($value))],
        is_array($value) && array_is_list($value) => array_map('tagged', $value),
        is_array($value) => ['dict' => (object) array_map('tagged', $value)],
        default => $value,
    };
}

/** Prints one line for one call. */
function tell(string $operation, array $outcome): void
{
    echo json_encode(['operation' => $operation] + $outcome, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE), "\n";
}

/** The calls to make: [{operation, params: [[name, value], ...]}, ...] on standard input. */
function calls(): array
{
    return json_decode(stream_get_contents(STDIN), true, 512, JSON_THROW_ON_ERROR);
}
