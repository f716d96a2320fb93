import { describe, expect, it } from 'vitest';
import { bindParams } from '../../src/core/bind.ts';
import type { ParamValue } from '../../src/core/call.ts';
import { validateInput } from '../../src/core/validate.ts';
import setupDisks from '../../src/operations/disks-setup.ts';
import reinstall from '../../src/operations/os-reinstall.ts';
import test from '../../src/operations/server-test.ts';
import kill from '../../src/operations/vps-kill.ts';

const params = (entries: Record<string, ParamValue>) =>
  Object.entries(entries).map(([name, value]) => ({ name, value }));
const DISKS = { vpsname: '01', hddsize: '512', swapsize: '64', imagetype: 'lvm' };

describe('bindParams', () => {
  it.each([
    ['v', 1],
    ['param', 0],
    ['__numeric_', 0],
    ['arg', 0],
  ])('gives positional parameters %sN their names', (prefix, first) => {
    const positional = Object.values(DISKS).map((value, i) => ({ name: `${prefix}${i + first}`, value }));
    expect(bindParams(setupDisks, positional)).toEqual(DISKS);
    expect(bindParams(setupDisks, positional.toReversed())).toEqual(DISKS);
  });

  it('takes the names that Perl makes up, c-gensym3, by the order in which they stand: it counts on from call to call', () => {
    const values = Object.values(DISKS);
    const made_up = (numbers: readonly number[]) =>
      numbers.map((number, i) => ({ name: `c-gensym${number}`, value: values[i] ?? '' }));
    expect(bindParams(setupDisks, made_up([6, 8, 10, 12]))).toEqual(DISKS);
    expect(bindParams(setupDisks, made_up([98, 100, 1002, 99_999_999]))).toEqual(DISKS);
    expect(() => bindParams(setupDisks, made_up([3, 5, 7, 9, 11]))).toThrow(/position 5/);
    const named = [...made_up([3, 5, 7]), { name: 'imagetype', value: 'lvm' }];
    expect(bindParams(setupDisks, named)).toEqual(DISKS);
    for (const name of ['c-gensym', 'c-gensym-1', 'c-gensymx', 'C-gensym3'])
      expect(() => bindParams(setupDisks, [{ name, value: '1' }])).toThrow(
        /has no parameter c-gensym|C-gensym3/,
      );
  });

  it("reads an older panel's list where Perl sends it by order", () => {
    const list = ['01', 'debian', '1024', '128', '192.0.2.10', 'secret', 'lvm'];
    const as = (name: (i: number) => string) => list.map((value, i) => ({ name: name(i), value }));
    expect(
      bindParams(
        reinstall,
        as((i) => `c-gensym${3 + 2 * i}`),
      ),
    ).toEqual(
      bindParams(
        reinstall,
        as((i) => `v${i + 1}`),
      ),
    );
  });

  it('refuses missing, unknown and repeated parameters, and says which', () => {
    const { swapsize: _, ...three } = DISKS;
    expect(() => bindParams(setupDisks, params(three))).toThrow(/swapsize is missing/);
    expect(() => bindParams(setupDisks, params({ ...DISKS, colour: 'red' }))).toThrow(/no parameter colour/);
    expect(() => bindParams(setupDisks, [...params(DISKS), { name: 'hddsize', value: '1' }])).toThrow(
      /hddsize is there twice/,
    );
    expect(() => bindParams(setupDisks, [...params(DISKS), { name: 'v1', value: '1' }])).toThrow(
      /vpsname is there twice/,
    );
    expect(() => bindParams(setupDisks, params({ v1: '1', v2: '1', v3: '1', v4: 'lvm', v5: '9' }))).toThrow(
      /position 5/,
    );
  });

  it('is not fooled by names of Object.prototype', () => {
    for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      expect(() => bindParams(setupDisks, [...params(DISKS), { name, value: 'x' }])).toThrow(
        /has no parameter/,
      );
    }
  });

  it('lets optional parameters be left out', () => {
    expect(bindParams(kill, params({ vpsname: '01' }))).toEqual({ vpsname: '01' });
    for (const empty of [null, ''])
      expect(validateInput(setupDisks, { ...DISKS, imagetype: empty })).toMatchObject({ imagetype: 'lvm' });
  });

  it('hands everything to an operation that takes anything', () => {
    expect(
      bindParams(test, [
        { name: 'a', value: '1' },
        { name: 'a', value: '2' },
      ]),
    ).toEqual({ arg: ['1', '2'] });
  });

  const OLDER = {
    vpsname: '01',
    ostype: 'debian',
    hddsize: '1000',
    ramsize: '256',
    ipaddr: '192.0.2.1 192.0.2.2',
    password: 'x',
    imagetype: 'vbd',
  };
  const CONVERTED = {
    vpsname: '01',
    ostype: 'debian',
    ramsize: '256',
    password: 'x',
    nics: '192.0.2.1+192.0.2.2',
    imagetype: 'vbd',
  };

  it("turns an older panel's reinstallVPSos into today's, by name and by position", () => {
    expect(bindParams(reinstall, params(OLDER))).toEqual(CONVERTED);
    const positional = Object.values(OLDER).map((value, i) => ({ name: `v${i + 1}`, value }));
    expect(bindParams(reinstall, positional)).toEqual(CONVERTED);
    const { hddsize: _, ...six } = OLDER;
    expect(() => bindParams(reinstall, params(six))).toThrow(/hddsize is missing/);
  });

  it("keeps today's seven positional parameters of reinstallVPSos", () => {
    const values = ['01', 'debian', '512', 'secret', '192.0.2.1,,', '192.0.2.254', '192.0.2.2'];
    expect(
      bindParams(
        reinstall,
        values.map((value, i) => ({ name: `v${i + 1}`, value })),
      ),
    ).toEqual({
      vpsname: '01',
      ostype: 'debian',
      ramsize: '512',
      password: 'secret',
      nics: '192.0.2.1,,',
      gateway: '192.0.2.254',
      dns: '192.0.2.2',
    });
  });
});

describe('validateInput', () => {
  // XML Schema Part 2, "integer": a sign may stand before it, and what XML calls white space around it.
  it.each(['5', ' 5', '5 ', '+5', '\n\t5\r\n', '005'])(
    'takes the size %j, as xsd:int is written',
    (hddsize) => {
      expect(validateInput(setupDisks, { ...DISKS, hddsize })).toMatchObject({ hddsize: 5 });
    },
  );

  it.each([
    '0',
    '-1',
    '1e99',
    '10G',
    '512MB',
    '5.5',
    '+',
    '+ 5',
    '5 5',
    '\u00a05',
    '',
    '0x10',
    '٥',
    '99999999999999999999',
    'NaN',
    'Infinity',
  ])('refuses the size %j', (hddsize) => {
    expect(() => validateInput(setupDisks, { ...DISKS, hddsize })).toThrow(
      expect.objectContaining({
        code: 'invalid_value',
        message: expect.stringMatching(/hddsize must be a whole number/),
      }),
    );
  });

  it.each([[['a']], [{ members: [] }], [null]] as [ParamValue][])(
    'refuses a parameter that is %j',
    (vpsname) => {
      expect(() => validateInput(setupDisks, { ...DISKS, vpsname })).toThrow(
        expect.objectContaining({ code: 'wrong_type' }),
      );
    },
  );

  it.each([
    ['with a newline', 'a\nb'],
    ['with NUL', 'a\0b'],
    ['with a tab', 'a\tb'],
    ['4 kB long', 'x'.repeat(4096)],
    ['empty', ''],
    ['of 129 bytes in 65 characters', 'é'.repeat(65)],
  ])('refuses a password %s, and never tells it', (_what, password) => {
    const call = { vpsname: '01', ostype: 'debian', ramsize: '512', password, nics: '192.0.2.1' };
    let message = '';
    try {
      validateInput(reinstall, call);
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toMatch(/password must/);
    if (password !== '') expect(message).not.toContain(password);
  });

  it('takes a password with quotes and what shells like', () => {
    const password = `'"\`$(reboot)\\ ;&|é€`;
    const call = { vpsname: '01', ostype: 'debian', ramsize: '512', password, nics: '192.0.2.1' };
    expect(validateInput(reinstall, call)).toMatchObject({ password });
  });
});
