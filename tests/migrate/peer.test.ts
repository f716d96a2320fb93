import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parseVpsId, type VpsId } from '../../src/core/vps.ts';
import { connect } from '../../src/migrate/peer.ts';
import { createProgress } from '../../src/programs/progress.ts';
import { createSmallPrograms, type SmallPrograms } from '../drivers/small-programs.ts';

const to = { host: 'node2', dest: parseVpsId('07') as VpsId, env: {} };

let programs: SmallPrograms;
beforeEach(() => {
  programs = createSmallPrograms('');
});
afterEach(() => programs.cleanup());

it('without ssh, what to install is said', async () => {
  const peer = connect(programs.runner, to);
  await expect(peer.message({})).rejects.toMatchObject({
    code: 'program_missing',
    message: 'ssh cannot be run: it is part of openssh-client; install it.',
  });
  await peer.close();
});

it('what the other node said before it went is told, whatever could not be sent any more', async () => {
  programs.add('ssh', `echo '{"reply":"refused","message":"no \\u001b[1mroom"}'; exit 1`);
  const peer = connect(programs.runner, to);
  const send = async () => {
    for (;;) await peer.data(Buffer.alloc(65_536));
  };
  await expect(send()).rejects.toThrow('node2: no ?[1mroom');
  await peer.close();
});

it('another answer than the expected one is refused', async () => {
  programs.add('ssh', `echo '{"reply":"stored"}'`);
  const peer = connect(programs.runner, to);
  await expect(peer.expect('ready')).rejects.toThrow('node2: stored instead of ready.');
  await expect(peer.expect('ready')).rejects.toThrow('node2: the connection has ended (ssh: 0)');
  await peer.close();
});

it.each([
  [true, '\rone\x1b[K\r\x1b[K'],
  [false, ''],
])('progress is one line a second of a terminal (%s)', (isTTY, shown) => {
  const messages = Object.assign(new PassThrough(), { isTTY, columns: 80 });
  const progress = createProgress(messages as unknown as NodeJS.WriteStream);
  for (const told of ['one', 'two', 'three']) progress.show(told);
  progress.clear();
  expect(String(messages.read() ?? '')).toBe(shown);
});
