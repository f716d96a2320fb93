import { constants } from 'node:fs';
import { type FileHandle, open, readdir, rename, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../config/schema.ts';
import { temporaryName } from '../core/atomic-file.ts';
import type { ConsoleLogs } from '../core/consoles.ts';
import { readLogTail } from '../core/log-tail.ts';
import type { VpsId } from '../core/vps.ts';
import { unlessMissing } from './missing.ts';

const { O_CREAT, O_NOFOLLOW, O_RDONLY, O_TRUNC, O_WRONLY } = constants;
/** What xenconsoled calls a guest's log (`--log=guest`), where the guest is a VPS. */
const LOG = /^guest-xen[0-9]{1,5}\.log$/;
/** A log is cut when it is longer; as much as this of it is kept beside the new one. */
const KEEP_BYTES = 512 * 1024;
const BLOCK_BYTES = 64 * 1024;

/** Copies what is in a file from a byte on, to its end as it is when that is reached. */
async function copyFrom(source: FileHandle, from: number, target: FileHandle): Promise<void> {
  const block = Buffer.alloc(BLOCK_BYTES);
  for (let at = from; ; ) {
    const { bytesRead } = await source.read(block, 0, block.length, at);
    if (bytesRead === 0) return;
    await target.writeFile(block.subarray(0, bytesRead));
    at += bytesRead;
  }
}

/**
 * Cuts a log that has grown long: its last part goes to `LOG.1`, over what was there. It is emptied in its place, since
 * xenconsoled holds it open, and goes on at its end (O_APPEND).
 */
async function cut(path: string): Promise<void> {
  const log = await open(path, O_RDONLY | O_NOFOLLOW);
  try {
    const { size } = await log.stat();
    if (size <= KEEP_BYTES) return;
    const fresh = join(path, '..', temporaryName(`${path.slice(path.lastIndexOf('/') + 1)}.1`));
    const older = await open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
    try {
      await copyFrom(log, size - KEEP_BYTES, older);
    } finally {
      await older.close();
    }
    await rename(fresh, `${path}.1`);
    await truncate(path);
  } finally {
    await log.close();
  }
}

const lineCount = (text: string) =>
  text === '' ? 0 : text.split('\n').length - (text.endsWith('\n') ? 1 : 0);

/** What Xen's programs log of a guest: its console, xl's process, qemu; the older ones as xl and logrotate(8) call them. */
const LOGS = /^(?:guest|xl|qemu-dm)-(xen[0-9]{1,5})\.log(?:\.[0-9]{1,3})?(?:\.gz)?$/;

/** Makes {@link ConsoleLogs}: the files that xenconsoled writes in console_log_dir. */
export function createConsoleLogs({
  config,
}: {
  config: Pick<Config, 'console_log_dir' | 'xen_log_dir'>;
}): ConsoleLogs {
  const folder = config.console_log_dir;
  const pathOf = (vps: VpsId) => join(folder, `guest-${vps.name}.log`);

  return {
    async tail(vps, lines) {
      const path = pathOf(vps);
      const now = await readLogTail(path, lines, 2 * KEEP_BYTES);
      const missing = lines - lineCount(now ?? '');
      if (lines > 0 && missing <= 0) return now;
      const before = await readLogTail(`${path}.1`, Math.max(0, missing), KEEP_BYTES);
      return now === undefined ? before : `${before ?? ''}${now}`;
    },

    async trim() {
      for (const name of await unlessMissing(readdir(folder), [])) {
        if (LOG.test(name)) await unlessMissing(cut(join(folder, name)), undefined);
      }
    },

    async forget(vps) {
      for (const at of new Set([folder, config.xen_log_dir])) {
        for (const name of await unlessMissing(readdir(at), []))
          if (LOGS.exec(name)?.[1] === vps.name) await rm(join(at, name), { force: true });
      }
    },
  };
}
