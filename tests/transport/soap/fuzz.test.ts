import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { AgentError } from '../../../src/core/errors.ts';
import { answerCall } from '../../../src/transport/soap/answer.ts';
import { decodeBody } from '../../../src/transport/soap/charset.ts';
import { readSoapCall } from '../../../src/transport/soap/reader.ts';
import { readHttpFile } from './http-file.ts';

const ROUNDS = 2000;
const captures = new URL('fixtures/captures/', import.meta.url);
const bodies = readdirSync(captures).map((file) => readHttpFile(new URL(file, captures)).body);

/** What a mutation may put in: markup, the names that matter, bytes that are no text. */
const PIECES = [
  ...[
    '<',
    '>',
    '/',
    '&',
    ';',
    '"',
    "'",
    '=',
    ':',
    '#',
    ' ',
    '\n',
    '\0',
    '\x01',
    '\x80',
    '\xff',
    '-',
    ']]>',
    '<!--',
    '-->',
  ],
  ...[
    '<![CDATA[',
    '<!DOCTYPE a>',
    '<?x?>',
    '&amp;',
    '&#0;',
    '&#x41;',
    '&lt;',
    'xmlns=""',
    'xmlns:xsi=""',
    ' id="i1"',
  ],
  ...[
    ' href="#i1"',
    ' xsi:nil="1"',
    ' xsi:type="SOAP-ENC:Array"',
    '<a/>',
    '</a>',
    '__proto__',
    'constructor',
    '\ufeff',
  ],
].map((piece) => Buffer.from(piece, 'latin1'));

/** A random number generator with a seed, so that a failure can be had again (mulberry32). */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

function mutate(body: Buffer, random: (below: number) => number): Buffer {
  let mutated = body;
  for (let times = 1 + random(3); times > 0; times--) {
    const [from, to] = [random(mutated.length + 1), random(mutated.length + 1)].sort((a, b) => a - b) as [
      number,
      number,
    ];
    const piece = PIECES[random(PIECES.length)] as Buffer;
    const copied = mutated.subarray(from, Math.min(to, from + 40));
    const kept = [
      [mutated.subarray(0, from), piece, mutated.subarray(from)],
      [mutated.subarray(0, from), piece, mutated.subarray(from + piece.length)],
      [mutated.subarray(0, from), mutated.subarray(Math.min(to, from + 20))],
      [mutated.subarray(0, to), copied, mutated.subarray(to)],
      [mutated.subarray(0, to)],
    ];
    mutated = Buffer.concat(kept[random(kept.length)] ?? []);
  }
  return mutated;
}

test(`${ROUNDS} mutated captures: each is a call or a malformed_request that can be answered, nothing else`, () => {
  let calls = 0;
  let refusals = 0;
  for (let seed = 0; seed < ROUNDS; seed++) {
    const body = mutate(bodies[seed % bodies.length] as Buffer, generator(seed));
    try {
      const call = readSoapCall(decodeBody(body, seed % 2 ? undefined : 'text/xml; charset=iso-8859-1'));
      expect(['legacy', 'modern']).toContain(call.dialect);
      expect(call.operation).not.toBe('');
      calls++;
    } catch (error) {
      if (!(error instanceof AgentError)) throw new Error(`seed ${seed}`, { cause: error });
      expect(error.code, `seed ${seed}`).toBe('malformed_request');
      expect(answerCall(undefined, error)).toMatchObject({ status: 500 });
      refusals++;
    }
  }
  expect(calls).toBeGreaterThan(ROUNDS / 50);
  expect(refusals).toBeGreaterThan(ROUNDS / 4);
});
