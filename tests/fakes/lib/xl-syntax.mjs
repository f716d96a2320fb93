// The syntax of xl.cfg(5): NAME = "string" | 'string' | NUMBER | [ list ], one a line or with `;` between, # comments.
import { XlError } from './getopt.mjs';

const TOKEN =
  /[ \t\r]*(?:(#[^\n]*)|(\n|;)|(\+=|[=[\],])|([A-Za-z_]\w*)|([0-9][0-9a-fA-FxX]*)|"((?:[^"\\\n]|\\.)*)"|'((?:[^'\\\n]|\\.)*)')/y;
const WHAT = { name: 'IDENT', number: 'NUMBER', string: 'STRING', newline: 'NEWLINE', end: 'end of file' };

const unquote = (text) => text.replace(/\\(.)/g, (_, letter) => ({ n: '\n', t: '\t' })[letter] ?? letter);

function tokens(text, fail) {
  const found = [];
  let line = 1;
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (!match) {
      const rest = text.slice(at).trimStart();
      if (rest === '') break;
      fail(line, rest[0], 'lexical error');
    }
    const [whole, comment, newline, sign, name, number, double, single] = match;
    if (comment !== undefined) continue;
    if (newline) found.push({ kind: 'newline', text: newline, line });
    else if (sign) found.push({ kind: sign, text: sign, line });
    else if (name) found.push({ kind: 'name', text: name, line });
    else if (number) found.push({ kind: 'number', text: number, value: number, line });
    else found.push({ kind: 'string', text: whole.trim(), value: unquote(double ?? single), line });
    if (newline === '\n') line += 1;
  }
  found.push({ kind: 'newline', text: '', line }, { kind: 'end', text: '', line });
  return found;
}

/**
 * Reads a configuration.
 *
 * @returns Map of name -> `{ value: string | string[], line, kind: 'string' | 'number' | 'list' }`; a later line wins
 * @throws XlError as xl puts it
 */
export function parseSyntax(file, text) {
  const fail = (line, near, why) => {
    throw new XlError(
      `${file}:${line}: config parsing error near \`${near}': ${why}\nFailed to parse config: Invalid argument\n`,
      1,
    );
  };
  const stream = tokens(text, fail);
  const settings = new Map();
  let at = 0;
  const name = (token) => WHAT[token.kind] ?? `'${token.kind}'`;
  const expect = (kinds, said) => {
    const token = stream[at];
    if (!kinds.includes(token.kind)) {
      fail(token.line, token.text, `syntax error, unexpected ${name(token)}, expecting ${said}`);
    }
    at += 1;
    return token;
  };
  const skipNewlines = () => {
    while (stream[at].kind === 'newline' && stream[at].text !== ';') at += 1;
  };
  const list = () => {
    const values = [];
    for (;;) {
      skipNewlines();
      if (stream[at].kind === ']') break;
      values.push(expect(['string', 'number', ']'], "STRING or NUMBER or '[' or ']'").value);
      skipNewlines();
      if (stream[at].kind === ']') break;
      expect([','], "',' or ']'");
    }
    at += 1;
    return values;
  };
  while (stream[at].kind !== 'end') {
    if (stream[at].kind === 'newline') {
      at += 1;
      continue;
    }
    const key = expect(['name'], 'IDENT or NEWLINE');
    const sign = expect(['=', '+='], "'='");
    const value = expect(['string', 'number', '['], "STRING or NUMBER or '['");
    const found =
      value.kind === '[' ? { value: list(), kind: 'list' } : { value: value.value, kind: value.kind };
    const before = settings.get(key.text);
    if (sign.kind === '+=' && before) {
      found.value =
        found.kind === 'list' ? [...before.value, ...found.value] : `${before.value}${found.value}`;
    }
    settings.set(key.text, { ...found, line: key.line });
    expect(['newline'], "NEWLINE or ';'");
  }
  return settings;
}
