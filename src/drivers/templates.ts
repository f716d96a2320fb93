import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../config/schema.ts';
import type { Templates } from '../core/ports.ts';
import { unlessMissing } from './missing.ts';

/** A template's name is a word of a panel's menu and an argument of programs. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._+-]*$/;

async function folders(parent: string): Promise<string[]> {
  const names = (await unlessMissing(readdir(parent), [])).filter((name) => NAME.test(name)).sort();
  const kinds = await Promise.all(names.map((name) => unlessMissing(stat(join(parent, name)), undefined)));
  return names.filter((_, at) => kinds[at]?.isDirectory());
}

/** Makes {@link Templates}: the folders in os_dir and app_dir, sorted; none where there is no such folder. */
export function createTemplates({ config }: { config: Pick<Config, 'os_dir' | 'app_dir'> }): Templates {
  return {
    operatingSystems: () => folders(config.os_dir),
    applications: () => folders(config.app_dir),
  };
}
