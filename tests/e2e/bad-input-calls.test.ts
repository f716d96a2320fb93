// Bad input: the call itself. Every operation and every parameter, from the declarations.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Operation } from '../../src/core/operation.ts';
import { operations } from '../../src/operations/index.ts';
import { type Site, startSite } from '../site.ts';
import { type Field, fieldsOf, GOOD, good, send, told, type Watched, watch } from './bad-calls.ts';

let site: Site;
let agent: Watched;
beforeAll(async () => {
  site = await startSite();
  agent = watch(site);
});
afterAll(() => site.stop());

const named = operations.filter(({ takesAnything }) => !takesAnything);
const isOptional = (operation: Operation, name: string) =>
  operation.input.shape[name]?.safeParse(undefined).success === true;
const without = (fields: readonly Field[], name: string) => fields.filter(([field]) => field !== name);
const replace = (fields: readonly Field[], name: string, xml: string): Field[] =>
  fields.map((field) => (field[0] === name ? [name, { xml }] : field));

/** What is no text, as either dialect may write it, and what the agent calls it. */
const WRONG_TYPES: readonly (readonly [told: string, xml: string])[] = [
  [
    'a list',
    '<NAME xsi:type="enc:Array" enc:arrayType="xsd:string[2]"><item>xen01</item><item>1</item></NAME>',
  ],
  ['a list', '<NAME xsi:type="enc:Array" enc:arrayType="xsd:string[0]"/>'],
  ['a list', '<NAME enc:arrayType="xsd:anyType[1]"><item><a>1</a></item></NAME>'],
  ['a structure', '<NAME><a>xen01</a><b>1</b></NAME>'],
];
const NIL = ['nil', '<NAME xsi:nil="true"/>'] as const;

it('every operation has a good call here', () => {
  expect(Object.keys(GOOD).sort()).toEqual(operations.map(({ name }) => name).sort());
});

describe('an unknown operation', () => {
  const NAMES = [
    'rebootNode',
    'startvps',
    'startVPS2',
    '__proto__',
    'constructor',
    'toString',
    '_',
    'exec.sh',
  ];
  it.each(NAMES)('%s', async (name) => {
    await agent.unchanged(async () => {
      const message = await agent.refused('unknown_operation', name, { vpsname: 'xen01' });
      expect(message).toBe(`There is no operation ${name}.`);
    });
  });

  it('in another namespace is no call at all', async () => {
    await agent.unchanged(async () => {
      const body = `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><a:startVPS xmlns:a="urn:other"/></e:Body></e:Envelope>`;
      expect(told(await send(site.endpoint(), body))).toMatchObject({
        status: 500,
        code: 'malformed_request',
      });
    });
  });
});

describe.each(named.map((operation) => [operation.name, operation] as const))('%s', (name, operation) => {
  const params = Object.keys(operation.input.shape);
  const fields = fieldsOf(good(name));

  it('a missing parameter is named', async () => {
    await agent.unchanged(async () => {
      for (const param of params.filter((each) => !isOptional(operation, each))) {
        const message = await agent.refused('missing_parameter', name, without(fields, param));
        expect(message).toBe(`${name}: the parameter ${param} is missing.`);
      }
    });
  });

  it('a parameter too many is named, and what there is', async () => {
    await agent.unchanged(async () => {
      for (const extra of ['sneaky', 'VPSNAME', '__proto__', 'constructor']) {
        const message = await agent.refused('unknown_parameter', name, [...fields, [extra, '1']]);
        expect(message).toBe(`${name} has no parameter ${extra}; it takes: ${params.join(', ') || 'none'}.`);
      }
      const positional = [...params, 'more'].map((_, i): Field => [`v${i + 1}`, '1']);
      const message = await agent.refused('unknown_parameter', name, positional);
      expect(message).toContain(`takes ${params.length} parameters`);
    });
  });

  it('a parameter that is there twice is refused, by name and by place', async () => {
    await agent.unchanged(async () => {
      for (const [i, param] of params.entries()) {
        const field = fields.find(([each]) => each === param) ?? ([param, 'lvm'] as const);
        const once = without(fields, param);
        for (const again of [param, `v${i + 1}`, `param${i}`]) {
          const message = await agent.refused('repeated_parameter', name, [
            ...once,
            field,
            [again, field[1]],
          ]);
          expect(message).toBe(`${name}: the parameter ${param} is there twice.`);
        }
      }
    });
  });

  it('a parameter of another type is refused', async () => {
    await agent.unchanged(async () => {
      for (const param of params) {
        const whole: Field[] = fields.some(([each]) => each === param) ? fields : [...fields, [param, 'lvm']];
        const wrong = isOptional(operation, param) ? WRONG_TYPES : [...WRONG_TYPES, NIL];
        for (const [what, xml] of wrong) {
          const message = await agent.refused('wrong_type', name, replace(whole, param, xml));
          expect(message).toBe(`${name}: the parameter ${param} is ${what}; it must be a text.`);
        }
      }
    });
  });
});

describe('an older panel', () => {
  const OLDER = fieldsOf({
    vpsname: 'xen01',
    ostype: 'tiny',
    hddsize: 64,
    ramsize: 128,
    ipaddr: '192.0.2.10',
    password: 'a good one',
    imagetype: 'lvm',
  });

  it('gets the same refusals for its own parameters', async () => {
    await agent.unchanged(async () => {
      for (const [param, value] of OLDER) {
        const rest = without(OLDER, param);
        if (param !== 'imagetype') await agent.refused('missing_parameter', 'reinstallVPSos', rest);
        await agent.refused('repeated_parameter', 'reinstallVPSos', [...OLDER, [param, value]]);
        for (const [, xml] of param === 'imagetype' ? WRONG_TYPES : [...WRONG_TYPES, NIL]) {
          await agent.refused('wrong_type', 'reinstallVPSos', replace(OLDER, param, xml));
        }
      }
      for (const size of ['0', '-1', '1e99', '10G', '']) {
        await agent.refused(
          'invalid_value',
          'reinstallVPSos',
          replace(OLDER, 'hddsize', `<NAME>${size}</NAME>`),
        );
      }
      await agent.refused('unknown_parameter', 'reinstallVPSos', [...OLDER, ['nics', '192.0.2.10,,']]);
      await agent.refused('unknown_parameter', 'reinstallVPSos', [...OLDER, ['gateway', '192.0.2.1']]);
    });
  });
});

describe('testVPSServer, which takes anything', () => {
  it('does not take too much of it', async () => {
    await agent.unchanged(async () => {
      const many = Array.from({ length: 65 }, (_, i): Field => [`v${i + 1}`, 'a']);
      await agent.refused('invalid_value', 'testVPSServer', many);
      await agent.refused('invalid_value', 'testVPSServer', { v1: 'a'.repeat(5000) });
    });
  });
});
