// What guests, clients and other programs write is read by regular expressions that take a time in proportion to it.
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { checkSync } from 'recheck';
import ts from 'typescript';
import { expect, it } from 'vitest';

const SRC = resolve(import.meta.dirname, '../src');
/** Of these, all that is read is the project's own text. */
const OWN_TEXT = /^docs\//;

interface Expression {
  readonly place: string;
  readonly source: string;
  readonly flags: string;
}

function expressionsOf(file: string): Expression[] {
  const found: Expression[] = [];
  const tree = ts.createSourceFile(file, readFileSync(join(SRC, file), 'utf8'), ts.ScriptTarget.Latest, true);
  const visit = (node: ts.Node) => {
    if (ts.isRegularExpressionLiteral(node)) {
      const end = node.text.lastIndexOf('/');
      const line = tree.getLineAndCharacterOfPosition(node.getStart()).line + 1;
      found.push({
        place: `${file}:${line} ${node.text}`,
        source: node.text.slice(1, end),
        flags: node.text.slice(end + 1),
      });
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return found;
}

const expressions = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && !OWN_TEXT.test(file))
  .flatMap(expressionsOf);

it('finds them', () => expect(expressions.length).toBeGreaterThan(100));

it('knows one that is not so', () => {
  expect(checkSync('\\r+\\n', 'g')).toMatchObject({
    status: 'vulnerable',
    complexity: { type: 'polynomial' },
  });
});

it.each(expressions)('$place takes a time in proportion to what it reads', ({ source, flags }) => {
  const told = checkSync(source, flags, { timeout: 120_000 });
  expect(told.status === 'safe' ? told : { ...told, checker: undefined }).toMatchObject({ status: 'safe' });
});
