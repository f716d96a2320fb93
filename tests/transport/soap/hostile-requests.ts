import { envelope, legacy } from './messages.ts';

const SIZE_chars = 64 * 1024;

/** Repeats `unit` between head and tail up to 64 KB. */
function fill(head: string, unit: string | ((i: number) => string), tail = ''): string {
  const parts = [head];
  for (let length = head.length + tail.length, i = 0; length < SIZE_chars; i++) {
    const part = typeof unit === 'string' ? unit : unit(i);
    parts.push(part);
    length += part.length;
  }
  return `${parts.join('')}${tail}`.slice(0, SIZE_chars + 1024);
}

const [HEAD = '', TAIL = ''] = legacy('<p>|</p>').split('|');
const [OPEN = '', CLOSE = ''] = legacy('|').split('|');
const inText = (unit: string | ((i: number) => string)) => fill(HEAD, unit, TAIL);
const inOperation = (unit: string | ((i: number) => string)) => fill(OPEN, unit, CLOSE);
const SHARED = envelope('<startVPS><a href="#0"/></startVPS>|');
const [BEFORE = '', AFTER = ''] = SHARED.split('|');

/** 64 KB each of what must be refused. */
export const HOSTILE: Readonly<Record<string, string>> = {
  nothing: '',
  'white space': fill('', ' '),
  '<! over and over': fill('', '<!'),
  '<! in an element': inText('<!'),
  '< over and over': fill('', '<'),
  '<a over and over': fill('', '<a'),
  '<? over and over': fill('', '<?'),
  '</ over and over': fill(OPEN, '</'),
  '& over and over': inText('&'),
  'an open CDATA': fill(`${HEAD}<![CDATA[`, ']'),
  'an open CDATA of ]]': fill(`${HEAD}<![CDATA[`, ']] '),
  'CDATA within CDATA': fill(HEAD, '<![CDATA['),
  'CDATA outside': fill('<![CDATA[', 'x', ']]>'),
  'an open comment': fill(`${HEAD}<!--`, '-x'),
  'an open comment of dashes': fill(`${HEAD}<!--`, '-'),
  'comments before nothing': fill('', '<!---->'),
  'a DOCTYPE': fill('<!DOCTYPE a [', '<!ELEMENT a ANY>', ']><a/>'),
  'an open DOCTYPE': fill('<!DOCTYPE a [', '<!ENTITY a "b">'),
  'an entity bomb': `<!DOCTYPE a [<!ENTITY a "ha">${Array.from({ length: 500 }, (_, i) => `<!ENTITY b${i} "&b${i - 1};&b${i - 1};">`).join('')}]>${legacy('<p>&b499;</p>')}`,
  'an external entity': `<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>${legacy('<p>&a;</p>')}`,
  'an external DTD': `<!DOCTYPE a SYSTEM "http://127.0.0.1/x.dtd">${legacy('')}`,
  'an unknown entity': inText('&nbsp;'),
  'an entity of a prototype': inText('&constructor;'),
  'an entity without end': fill(`${HEAD}&`, 'a', TAIL),
  'a processing instruction': `<?xml version="1.0"?>${fill('<?p ', 'x', '?>')}${legacy('')}`,
  'a processing instruction inside': inOperation('<?p?>'),
  'deep elements': fill(OPEN, '<a>'),
  'deep elements, closed': `${'<a>'.repeat(9000)}${'</a>'.repeat(9000)}`,
  'deep elements with namespaces': fill(OPEN, (i) => `<a${i}:a xmlns:a${i}="urn:${i}">`),
  'many elements': inOperation('<a/>'),
  'many elements with text': inOperation('<a>1</a>'),
  'many elements next to the operation': fill(BEFORE, (i) => `<x id="${i}"/>`, AFTER),
  'many operations': fill(BEFORE, '<a/>', AFTER),
  'many attributes': fill(`${OPEN}<a`, (i) => ` a${i}=""`, `/>${CLOSE}`),
  'many same attributes': fill(`${OPEN}<a`, ' a=""', `/>${CLOSE}`),
  'attributes of many elements': inOperation((i) => `<a b="${i}" c="" d="" e=""/>`),
  'a huge attribute': fill(`${OPEN}<a b="`, 'x', `"/>${CLOSE}`),
  'a huge attribute of references': fill(`${OPEN}<a b="`, '&#65;', `"/>${CLOSE}`),
  'a huge attribute of tabs': fill(`${OPEN}<a b="`, '\t', `"/>${CLOSE}`),
  'an attribute without end': fill(`${OPEN}<a b="`, 'x'),
  'many namespaces': fill(`${OPEN}<a`, (i) => ` xmlns:n${i}="urn:x"`, `/>${CLOSE}`),
  'many namespaces, on many elements': inOperation((i) => `<a xmlns:n${i}="urn:x" xmlns:m${i}="urn:y"/>`),
  'the same attribute by two prefixes': legacy('<a xmlns:b="urn:x" xmlns:c="urn:x" b:d="" c:d=""/>'),
  'an undeclared prefix': legacy('<a:b/>'),
  'an undeclared prefix of an attribute': legacy('<b a:c=""/>'),
  'the prefix xmlns declared': legacy('<b xmlns:xmlns="urn:x"/>'),
  'the prefix xml declared': legacy('<b xmlns:xml="urn:x"/>'),
  'another prefix for xml': legacy('<b xmlns:x="http://www.w3.org/XML/1998/namespace"/>'),
  'two colons': legacy('<a:b:c xmlns:a="urn:x"/>'),
  'no prefix before the colon': legacy('<:b/>'),
  'an unclosed document': legacy('').slice(0, -1),
  'only a beginning': OPEN,
  'a wrong end tag': legacy('<a></b>'),
  'trailing junk': `${legacy('')}junk`,
  'a second root': legacy('') + legacy(''),
  'a name without end': fill('<', 'a'),
  'a long name': fill(`${OPEN}<`, 'a', `/>${CLOSE}`),
  'a long attribute name': fill(`${OPEN}<a `, 'a', `=""/>${CLOSE}`),
  'a long prefix': fill(`${OPEN}<`, 'a', `:b/>${CLOSE}`),
  'an XML declaration that is long': fill('<?xml version="1.', '0', `"?>${legacy('')}`),
  'an XML declaration with rubbish': fill('<?xml version="1.0" ', 'a', `?>${legacy('')}`),
  'an XML declaration late': ` <?xml version="1.0"?>${legacy('')}`,
  'many XML declarations': fill('', '<?xml version="1.0"?>'),
  NUL: inText('\0'),
  'a NUL reference': legacy('<p>&#0;</p>'),
  'control characters': inText('\u0001'),
  'a control reference': legacy('<p>&#x1;</p>'),
  'a control character in XML 1.1': `<?xml version="1.1"?>${legacy('<p>&#x1;</p>')}`,
  'a surrogate reference': legacy('<p>&#xD800;</p>'),
  'a reference beyond Unicode': legacy('<p>&#x110000;</p>'),
  'a long reference': fill(`${HEAD}&#`, '1', `;${TAIL}`),
  'a long hexadecimal reference': fill(`${HEAD}&#x`, 'F', `;${TAIL}`),
  'a lone surrogate': legacy('<p>\ud800</p>'),
  'lone surrogates': inText('\udc00'),
  'U+FFFE': legacy('<p>\ufffe</p>'),
  ']]> in text': inText(']]>'),
  'a reference fan-out': fill(
    BEFORE,
    (i) => `<x id="${i}"><a href="#${i + 1}"/><b href="#${i + 1}"/></x>`,
    AFTER,
  ),
  'a long reference chain': fill(BEFORE, (i) => `<x id="${i}" href="#${i + 1}"/>`, AFTER),
  'a reference circle': `${BEFORE}<x id="0" href="#1"/><x id="1" href="#0"/>${AFTER}`,
  'many ids of a prototype': fill(BEFORE, '<x id="__proto__"/>', AFTER),
  'text beyond its limit': `${HEAD}${'x'.repeat(130 * 1024)}${TAIL}`,
  'a document beyond its limit': ' '.repeat(300 * 1024),
  json: '{"operation":"startVPS"}',
  'a form': 'operation=startVPS&vpsname=xen01',
  html: '<!doctype html><html><body>x</body></html>',
};

/** 64 KB each of what is slow to read, if anything is, though nothing is wrong with it. */
export const HEAVY: Readonly<Record<string, string>> = {
  'a long text': inText('x'),
  'a text of line ends': inText('\r\n'),
  'a text of entities': inText('&lt;'),
  'a text of references': inText('&#9;'),
  'a text of hexadecimal references': inText('&#x9;'),
  'a text of comments': inText('<!---->'),
  'a text of CDATA': inText('<![CDATA[]]>'),
  'a text of ]': inText(']'),
  'a text beyond the BMP': inText('😀'),
  'white space after all': fill(legacy(''), ' '),
  'as many elements as may be': legacy(`<p>${'<a> </a>'.repeat(900)}</p>`),
  'as many attributes as may be': legacy(
    `<a${Array.from({ length: 31 }, (_, i) => ` a${i}="${'x'.repeat(2000)}"`).join('')}/>`,
  ),
  'as many lists in lists as may be': legacy(
    `${'<a xsi:type="enc:Array">'.repeat(25)}${'</a>'.repeat(25)}`
      .repeat(30)
      .replace(/^/, '<p>')
      .concat('</p>'),
  ),
};
