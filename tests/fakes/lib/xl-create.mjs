// xl create.
import { readFileSync } from 'node:fs';
import { getopt, XlError } from './getopt.mjs';
import { err, NotKnown, out } from './store.mjs';
import { newUuid } from './world.mjs';
import { asProcess, raise } from './xl-build.mjs';
import { parseConfig } from './xl-config.mjs';
import { showConsole } from './xl-domains.mjs';
import { configJson, yajl } from './xl-json.mjs';
import { leaveProcess } from './xl-process.mjs';

function readConfig(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const why = {
      ENOENT: 'No such file or directory',
      EISDIR: 'Is a directory',
      EACCES: 'Permission denied',
    };
    if (!(error.code in why)) throw new NotKnown(error.message);
    throw new XlError(`Failed to read config file: ${file}: ${why[error.code]}\n`, 3);
  }
}

export async function create(root, args) {
  const { options, operands } = getopt('create', args, {
    taken: { q: 'quiet', n: 'dryrun', p: '', c: '', 'f:': 'defconfig' },
    untaken: 'FdeVAi',
  });
  const file = options.f ?? operands.find((each) => !each.includes('='));
  if (file === undefined) throw new XlError('Config file not specified and none in save file\n', 6);
  const text = readConfig(file);
  if (!options.q) err(`Parsing config from ${file}\n`);
  const overrides = operands.filter((each) => each !== file);
  const spec = parseConfig(file, text, overrides, err);
  if (options.n) {
    out(`${yajl(configJson(spec, spec.uuid ?? newUuid(), spec.memory_mib, false))}\n`);
    return 0;
  }
  const words = ['create', ...args];
  await asProcess(root, words, () =>
    raise(root, spec, {
      paused: options.p === true,
      onUp: (state, domain) => leaveProcess(root, state, domain, words),
    }),
  );
  return options.c ? showConsole(spec.name) : 0;
}
