import { readFileSync } from 'node:fs';

/** A captured message: its header section by lower-case name, and its body, chunks put together. */
export interface HttpFile {
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** Reads a `.http` fixture. */
export function readHttpFile(url: URL): HttpFile {
  const bytes = readFileSync(url);
  const end = bytes.indexOf('\r\n\r\n');
  const lines = bytes.toString('latin1', 0, end).split('\r\n').slice(1);
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
    }),
  );
  const rest = bytes.subarray(end + 4);
  if (headers.get('transfer-encoding') === 'chunked') return { headers, body: unchunk(rest) };
  return { headers, body: rest.subarray(0, Number(headers.get('content-length'))) };
}

function unchunk(bytes: Buffer): Buffer {
  const chunks: Buffer[] = [];
  for (let at = 0; ; ) {
    const line_end = bytes.indexOf('\r\n', at);
    const length = Number.parseInt(bytes.toString('latin1', at, line_end), 16);
    if (!(length > 0)) return Buffer.concat(chunks);
    chunks.push(bytes.subarray(line_end + 2, line_end + 2 + length));
    at = line_end + 2 + length + 2;
  }
}
