import type * as z from 'zod';
import { ERRORS, ERRORS_OF_ANY_CALL, ERRORS_OF_CHANGES, type ErrorCode } from '../core/errors.ts';
import type { Operation } from '../core/operation.ts';
import type { Registry } from '../core/registry.ts';

const WHO = {
  user: 'any user',
  owner: "the admin, and the VPS's own user",
  admin: 'the admin',
} as const;

const codes = (listed: readonly ErrorCode[]) => listed.map((code) => `\`${code}\``).join(', ') || 'none';
const cell = (text: string) => text.replaceAll('|', '\\|');

function fieldRows(shape: z.core.$ZodShape): string[] {
  return Object.entries(shape).map(([name, field]) => {
    const type = field as z.ZodType;
    const inner = type.def.type === 'array' ? (type as z.ZodArray<z.ZodType>).element : type;
    const meta = inner.meta() ?? unwrapped(inner).meta() ?? {};
    const many = type.def.type === 'array' ? ', repeated' : '';
    const optional = type.safeParse(undefined).success ? ', optional' : '';
    const kind = String(meta['xsd'] ?? meta['typeName'] ?? 'structure');
    return `| ${name} | ${kind}${many}${optional} | ${cell(String(meta['doc'] ?? ''))} |`;
  });
}

function unwrapped(type: z.ZodType): z.ZodType {
  const { innerType } = type.def as { innerType?: z.ZodType };
  return innerType ? unwrapped(innerType) : type;
}

function table(title: string, shape: z.core.$ZodShape): string[] {
  const rows = fieldRows(shape);
  return rows.length === 0
    ? [`${title}: none.`, '']
    : [`| ${title} | type | |`, '|---|---|---|', ...rows, ''];
}

function section(operation: Operation): string[] {
  const older = operation.older ? [`Older panels send: ${operation.older.params.join(', ')}.`, ''] : [];
  return [
    `## ${operation.name}`,
    '',
    operation.summary,
    '',
    `Who may call: ${WHO[operation.who]}. Time limit: ${operation.timeout_ms / 1000} s.${
      operation.lock === 'vps' ? ' One change at a time per VPS.' : ''
    }`,
    '',
    ...table('parameter', operation.input.shape),
    ...older,
    ...table('answer', operation.output.shape),
    `Errors of its own: ${codes(operation.errors)}.`,
    '',
  ];
}

/** The reference page docs/operations.md, out of the declarations and the table of errors. */
export function operationsPage(registry: Registry): string {
  const names = [...registry.keys()].sort();
  const sections = names.flatMap((name) => {
    const operation = registry.get(name);
    return operation ? section(operation) : [];
  });
  const errors = Object.entries(ERRORS).map(
    ([code, { fault, legacy, retry, means }]) =>
      `| \`${code}\` | ${fault} | ${legacy} | ${retry ? 'yes' : 'no'} | ${cell(means)} |`,
  );
  return [
    '# Operations',
    '',
    'Generated from the declarations in `src/operations`; `make generate` refreshes it.',
    '',
    ...sections,
    '## Errors',
    '',
    `Any call may also be answered with ${codes(ERRORS_OF_ANY_CALL)};`,
    `one that changes something with ${codes(ERRORS_OF_CHANGES)}.`,
    '',
    'Legacy clients get a SOAP fault, the value `NOTOK - reason` (notok), or `NOTOK` alone (denied).',
    '',
    '| code | whose fault | legacy answer | may succeed later | meaning |',
    '|---|---|---|---|---|',
    ...errors,
    '',
  ].join('\n');
}
