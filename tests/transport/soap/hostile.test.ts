import { SaxesParser } from 'saxes';
import { describe, expect, test } from 'vitest';
import { decodeBody } from '../../../src/transport/soap/charset.ts';
import { MalformedMessage } from '../../../src/transport/soap/malformed.ts';
import { readSoapCall } from '../../../src/transport/soap/reader.ts';
import { HEAVY, HOSTILE } from './hostile-requests.ts';

const BLOCKED_AT_MOST_ms = 20;
const TIMES_PARSER = 5;
const MEASURED_chars = 66 * 1024;

function attempt(text: string): unknown {
  try {
    return readSoapCall(text);
  } catch (error) {
    return error;
  }
}

/** The XML parser alone, on the same text: what a slow machine makes of it. */
function parseAlone(text: string): void {
  const parser = new SaxesParser({ xmlns: true });
  parser.on('error', () => undefined);
  parser.on('text', () => undefined);
  parser.write(text).close();
}

/**
 * The event loop's time for one request, from bytes to call, and the parser's alone. Other programs share the processor, and what
 * they take is not ours: the best of three runs counts, and of more where that is above half the bound.
 */
function blocked(text: string): { ms: number; parser_ms: number } {
  const body = Buffer.from(text);
  const best = { ms: Number.POSITIVE_INFINITY, parser_ms: Number.POSITIVE_INFINITY };
  const take = (what: keyof typeof best, work: () => unknown) => {
    const started = performance.now();
    work();
    best[what] = Math.min(best[what], performance.now() - started);
  };
  for (let run = 0; run < 3 || (run < 30 && best.ms > BLOCKED_AT_MOST_ms / 2); run++) {
    take('ms', () => attempt(decodeBody(body, 'text/xml; charset=utf-8')));
    take('parser_ms', () => parseAlone(text));
  }
  return best;
}

describe('a hostile request is refused', () => {
  test.each(Object.entries(HOSTILE))('%s', (_name, text) => {
    const error = attempt(text);
    expect(error).toBeInstanceOf(MalformedMessage);
    const { message } = error as MalformedMessage;
    expect(message).toMatch(/^The [\x20-\x7e]{10,200}$/);
    expect(message).not.toMatch(/undefined(?! entity)|\.ts|\.js|node_modules/);
  });

  test('and leaves nothing behind in any prototype', () => {
    for (const text of Object.values(HOSTILE)) attempt(text);
    for (const key in {}) expect.unreachable(`Object.prototype has ${key}`);
    expect(Object.keys(Object.prototype)).toEqual([]);
  });
});

test.each(Object.entries(HEAVY))('a heavy request is read: %s', (_name, text) => {
  expect(attempt(text)).toMatchObject({ operation: 'startVPS' });
});

test(`64 KB of anything block the event loop for less than ${BLOCKED_AT_MOST_ms} ms, or ${TIMES_PARSER} times the parser's time on a slow machine`, () => {
  const patterns = Object.entries({ ...HOSTILE, ...HEAVY }).filter(
    ([, text]) => text.length < MEASURED_chars,
  );
  for (const [, text] of patterns) attempt(text);
  const worst = patterns.map(([name, text]) => ({ name, ...blocked(text) })).sort((a, b) => b.ms - a.ms);
  const slowest = worst
    .slice(0, 3)
    .map(({ name, ms, parser_ms }) => `${name} ${ms.toFixed(1)} ms (the parser ${parser_ms.toFixed(1)})`);
  console.log(`slowest to read: ${slowest.join(', ')}`);
  const slow = worst.filter(
    ({ ms, parser_ms }) => ms >= BLOCKED_AT_MOST_ms && ms >= TIMES_PARSER * parser_ms,
  );
  expect(slow).toEqual([]);
});
