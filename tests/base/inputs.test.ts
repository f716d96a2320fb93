import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BaseInputs, baseKey, findInputs } from '../../src/base/inputs.ts';
import { createRunner } from '../../src/drivers/run.ts';
import { PROGRAM_PATH } from '../jobs/plan-harness.ts';
import { type House, makeHouse, TRIXIE } from './house.ts';

const INPUTS: BaseInputs = {
  arch: 'amd64',
  release: 'trixie',
  mirror: 'http://mirror.test/debian',
  security_mirror: 'http://mirror.test/debian-security',
  packages: ['less', 'vim'],
  tool: 'mmdebstrap',
  tool_version: '1.3.5-7',
  recipe: '0'.repeat(64),
};

describe('the key of a base', () => {
  it.each([
    { arch: 'arm64' },
    { release: 'bookworm' },
    { mirror: 'http://other.test/debian' },
    { security_mirror: '' },
    { packages: ['less'] },
    { packages: ['less vim'] },
    { tool: 'debootstrap' as const },
    { tool_version: '1.5.7-3' },
    { recipe: '1'.repeat(64) },
  ])('is another one with $arch$release$mirror$packages$tool$tool_version$recipe', (change) => {
    expect(baseKey({ ...INPUTS, ...change })).not.toBe(baseKey(INPUTS));
  });

  it('has every input in it, and starts with the release', () => {
    for (const name of Object.keys(INPUTS)) {
      expect(baseKey({ ...INPUTS, [name]: 'changed' } as BaseInputs), name).not.toBe(baseKey(INPUTS));
    }
    expect(baseKey(INPUTS)).toMatch(/^trixie-[0-9a-f]{16}$/);
  });
});

describe('the inputs of a base on this node', () => {
  let house: House;
  beforeAll(() => {
    house = makeHouse();
  });
  afterAll(() => house.clean());
  const deps = () => ({ runner: house.runner, scripts_dir: join(house.home, 'scripts') });

  it('are its architecture, mirror, tool and scripts; packages in any order, each once', async () => {
    const inputs = await findInputs(deps(), TRIXIE);
    expect(inputs).toMatchObject({ release: 'trixie', mirror: TRIXIE.mirror, tool: 'mmdebstrap' });
    expect(inputs.tool_version).toMatch(/^[0-9.~+-]+[a-z0-9.~+-]*$/);
    expect(inputs.arch).toMatch(/^[a-z0-9]+$/);
    const again = await findInputs(deps(), { ...TRIXIE, packages: ['less', 'vim', 'less'] });
    expect(baseKey(again)).toBe(baseKey(inputs));
    const own_mirror = await findInputs(deps(), { ...TRIXIE, mirror: '' });
    expect(own_mirror.mirror).toMatch(/^https?:\/\//);
  });

  it('change with the scripts that make it', async () => {
    const before = baseKey(await findInputs(deps(), TRIXIE));
    appendFileSync(join(house.home, 'scripts/base-make'), '# another version\n');
    expect(baseKey(await findInputs(deps(), TRIXIE))).not.toBe(before);
  });

  it('cannot be found without dpkg', async () => {
    const runner = createRunner({ path: '/nowhere' });
    await expect(findInputs({ ...deps(), runner }, TRIXIE)).rejects.toThrow('dpkg-query cannot be run');
  });

  it.each([
    ['mmdebstrap', 'dpkg 1 arm64 installed\nmmdebstrap 2 all installed\ndebootstrap 3 all installed'],
    ['debootstrap', 'dpkg 1 arm64 installed\nmmdebstrap 2 all config-files\ndebootstrap 3 all installed'],
    [undefined, 'dpkg 1 arm64 installed\nmmdebstrap  all not-installed'],
  ])('name the tool %s where dpkg knows: %s', async (tool, known) => {
    const bin = join(house.home, `bin-${tool}`);
    mkdirSync(bin);
    writeFileSync(join(bin, 'dpkg-query'), `#!/bin/sh\nprintf '%s\\n' '${known}'\nexit 1\n`, { mode: 0o755 });
    const runner = createRunner({ path: `${bin}:${PROGRAM_PATH}` });
    const found = findInputs({ ...deps(), runner }, TRIXIE);
    if (tool === undefined) await expect(found).rejects.toThrow('install mmdebstrap');
    else expect(await found).toMatchObject({ arch: 'arm64', tool });
  });
});
