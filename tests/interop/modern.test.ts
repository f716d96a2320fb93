import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll } from 'vitest';
import { type Endpoint, MODERN_CLIENTS, type Tools } from './clients.ts';
import { describeClient, type Stage } from './conversation.ts';
import { openStage } from './node.ts';
import { buildGsoap, buildNusoap, temporaryFolder } from './tools.ts';

const folder = temporaryFolder();
let tools: Tools = {};

/** The WSDL as a running daemon serves it, without a login. */
const fetchWsdl = ({ url, ca }: Endpoint) =>
  new Promise<string>((resolve, reject) => {
    const call = request(`${url}?wsdl`, { ca: readFileSync(ca), agent: false });
    call.on('error', reject);
    call.on('response', (answer) => text(answer).then(resolve, reject));
    call.end();
  });

beforeAll(async () => {
  buildNusoap(folder.path);
  const stage: Stage = await openStage();
  try {
    tools = { nusoap: folder.path, gsoap: buildGsoap(folder.path, await fetchWsdl(stage.endpoint)) };
  } finally {
    await stage.close();
  }
});
afterAll(() => folder.remove());

for (const client of MODERN_CLIENTS) describeClient(client, openStage, () => tools);
