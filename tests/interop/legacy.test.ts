import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LEGACY_CLIENTS } from './clients.ts';
import { describeClient } from './conversation.ts';
import { openStage } from './node.ts';
import { buildDotnet, buildNusoap, temporaryFolder } from './tools.ts';

const folder = temporaryFolder();
let mended = 0;
let dotnet = '';
beforeAll(() => {
  mended = buildNusoap(folder.path);
  dotnet = buildDotnet(folder.path);
});
afterAll(() => folder.remove());

describe("Debian's NuSOAP", () => {
  it("runs on PHP 8 once its nine classes' constructors are found", () => {
    expect(mended).toBe(9);
  });
});

for (const client of LEGACY_CLIENTS)
  describeClient(client, openStage, () => ({ nusoap: folder.path, dotnet }));
