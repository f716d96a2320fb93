import { describe, expect, it } from 'vitest';
import { parseShellAssignments } from '../../src/config/parse.ts';
import { sampleConfig } from '../../src/docs/sample-config.ts';
import { setKeys } from '../../src/setup/edit-config.ts';

describe('setting keys', () => {
  it('changes one line of the sample, where the key stands as a comment', () => {
    const sample = sampleConfig();
    const changed = setKeys(sample, new Map([['provisioning_volgroup', 'vg0']]));
    const [before, after] = [sample.split('\n'), changed.split('\n')];
    expect(after).toHaveLength(before.length);
    expect(after.filter((line, at) => line !== before[at])).toEqual(['provisioning_volgroup=vg0']);
  });

  it('replaces the line that counts, the last one, and keeps what an admin wrote', () => {
    const text =
      "# mine\nGATEWAY=192.0.2.1\n\nexport GATEWAY='192.0.2.2' # now\n# GATEWAY=example\nDNS=192.0.2.53";
    expect(setKeys(text, new Map([['GATEWAY', '192.0.2.3']]))).toBe(
      '# mine\nGATEWAY=192.0.2.1\n\nGATEWAY=192.0.2.3\n# GATEWAY=example\nDNS=192.0.2.53\n',
    );
  });

  it('adds a key that is not there, and begins an empty file', () => {
    expect(setKeys('', new Map([['node_name', 'node1']]))).toBe('node_name=node1\n');
    expect(setKeys('a_key=1\n', new Map([['node_name', '']]))).toBe('a_key=1\nnode_name=\n');
  });

  it.each(["it's", 'a b', 'x$y`z"\\', '#', '', "'", '\\', 'ümlaut'])(
    'quotes %j so that it is read back',
    (value) => {
      const [read] = parseShellAssignments(setKeys('', new Map([['KEY', value]])));
      expect(read?.value).toBe(value);
    },
  );

  it('refuses a line end', () => {
    expect(() => setKeys('', new Map([['KEY', 'a\nOTHER=b']]))).toThrow(RangeError);
  });
});
