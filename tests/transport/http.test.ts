import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ADMIN, ask, basic, ENVELOPE, rawConnection, soap, startServer } from './server-fixture.ts';

describe('the routes', () => {
  let server: Awaited<ReturnType<typeof startServer>>;
  beforeAll(async () => {
    server = await startServer();
  });
  afterAll(() => server.stop());

  test('a call is answered at / and at /soap, with the caller that Basic proved', async () => {
    for (const path of ['/', '/soap', '/?anything', '/soap?wsdl']) {
      const answer = await soap(server.port, basic('xen01', 'owner'), { path });
      expect(answer.status).toBe(200);
      expect(answer.body).toContain('xen01 127.0.0.1');
    }
  });

  test.each([
    'text/xml; charset=utf-8',
    'application/x-www-form-urlencoded',
    'application/soap+xml',
    'application/octet-stream',
    'application/json',
    // The action has no quotes, though it is no token; or there is no media type at all.
    'application/soap+xml; charset=utf-8; action=urn:dtc-xen#echo',
    'text/xml;charset=utf-8;action=urn:dtc-xen#echo;',
    'text/xml charset=utf-8',
    'charset=utf-8',
    'xml',
    '',
    undefined,
  ])('Content-Type %s', async (type) => {
    const headers = { authorization: ADMIN, ...(type === undefined ? {} : { 'content-type': type }) };
    const answer = await ask(server.port, { headers, body: ENVELOPE });
    expect([answer.status, answer.body]).toEqual([200, expect.stringContaining('dtc-xen 127.0.0.1')]);
  });

  test.each([
    ['the typed dialect', ENVELOPE, 'text/xml; charset=utf-8'],
    ["DTC-Xen's, as SOAPpy answered", ENVELOPE.replace('urn:dtc-xen', ''), 'text/xml; charset="UTF-8"'],
    ['a request that is in none', '<a/>', 'text/xml; charset=utf-8'],
  ])(
    'an answer in %s has the charset as its clients read it: .NET takes quotes for a part of its name',
    async (_, body, type) => {
      const answer = await ask(server.port, { headers: { authorization: ADMIN }, body });
      expect(answer.headers['content-type']).toBe(type);
    },
  );

  test.each([
    ['gzip', { 'content-encoding': 'gzip' }, /Content-Encoding is gzip, .*not supported.*send it without/],
    [
      'deflate, after nothing',
      { 'content-encoding': 'identity, deflate' },
      /Content-Encoding is identity, deflate/,
    ],
    [
      'MTOM',
      { 'content-type': 'multipart/related; type="application/xop+xml"; start-info="text/xml"; boundary=b' },
      /multipart\/related \(MTOM.*not supported.*send the envelope alone/,
    ],
    ['one part of MTOM alone', { 'content-type': 'application/xop+xml' }, /application\/xop\+xml/],
    ['DIME', { 'content-type': 'Application/DIME' }, /application\/dime/],
  ])('%s gets a sentence that says what is not supported', async (_, headers, sentence) => {
    const answer = await ask(server.port, {
      headers: { authorization: ADMIN, ...headers },
      body: Buffer.from('\x1f\x8b\x08--b', 'latin1'),
    });
    expect([answer.status, answer.headers['content-type']]).toEqual([500, 'text/xml; charset=utf-8']);
    expect(answer.body).toMatch(sentence);
    expect(answer.body).toContain('<faultcode>');
  });

  test('MTOM of SOAP 1.2 gets its sentence in SOAP 1.2', async () => {
    const type =
      'multipart/related; type="application/xop+xml"; start-info="application/soap+xml"; boundary=b';
    const answer = await ask(server.port, {
      headers: { authorization: ADMIN, 'content-type': type },
      body: '--b\r\n\r\n--b--',
    });
    expect(answer.headers['content-type']).toBe('application/soap+xml; charset=utf-8');
    expect(answer.body).toContain('http://www.w3.org/2003/05/soap-envelope');
    expect(answer.body).toMatch(/MTOM/);
  });

  // curl 7.88 of Debian 12, and PHP libraries that are made with it.
  test.each(['--http1.0', '--http1.1', '--no-alpn', '--http2'])(
    'curl %s, whose handshake offers that, is answered',
    async (option) => {
      const address = `https://127.0.0.1:${server.port}/soap`;
      const curl = spawn('curl', ['-sSk', '-m', '20', option, '-K', '-', '--data-binary', ENVELOPE, address]);
      curl.stdin.end(
        `user = "dtc-xen:secret"\nheader = "Content-Type: text/xml"\nwrite-out = " %{http_code} %{http_version}"\n`,
      );
      const [out, err] = await Promise.all([text(curl.stdout), text(curl.stderr)]);
      expect(err).toBe('');
      expect(out).toMatch(/dtc-xen 127\.0\.0\.1.* 200 1\.1$/s);
    },
  );

  test('the charset is the one that the Content-Type declares', async () => {
    const body = Buffer.from(
      ENVELOPE.replace('<echo xmlns="urn:dtc-xen"/>', '<echo xmlns="urn:dtc-xen"><a>\xe9</a></echo>'),
      'latin1',
    );
    const headers = { authorization: ADMIN, 'content-type': 'text/xml; charset=ISO-8859-1' };
    expect((await ask(server.port, { headers, body })).status).toBe(200);
    expect(server.calls.at(-1)?.params).toEqual([{ name: 'a', value: 'é' }]);
  });

  test('what is not SOAP is a fault; so is nothing at all', async () => {
    for (const body of ['', 'hello', '<a/>', '<!DOCTYPE a><a/>']) {
      const answer = await ask(server.port, { headers: { authorization: ADMIN }, body });
      expect([answer.status, answer.body]).toEqual([500, expect.stringContaining('Fault')]);
    }
  });

  test('the WSDL needs no password, and has the address that the caller used', async () => {
    const wsdl = async (path: string, host?: string) => {
      const answer = await ask(server.port, { method: 'GET', path, ...(host ? { headers: { host } } : {}) });
      expect([answer.status, answer.headers['content-type']]).toEqual([200, 'text/xml; charset=utf-8']);
      return answer.body;
    };
    expect(await wsdl('/?wsdl')).toBe(`<definitions location="https://127.0.0.1:${server.port}/"/>`);
    expect(await wsdl('/soap?WSDL', 'xen.example.org:8089')).toContain('"https://xen.example.org:8089/soap"');
    expect(await wsdl('/?wsdl=1', '[2001:db8::1]:8089')).toContain('"https://[2001:db8::1]:8089/"');
    const own = `"https://node1.example.com:${server.port}/"`;
    for (const host of ['a"b', 'a/b', 'user@host', '<x>', '-a', 'a:99999999', '[::1', 'x'.repeat(300)]) {
      expect(await wsdl('/?wsdl', host)).toContain(own);
    }
  });

  test('healthz', async () => {
    const answer = await ask(server.port, { method: 'GET', path: '/healthz' });
    expect([answer.status, answer.body]).toEqual([200, 'ok']);
  });

  test.each([
    ['GET', '/'],
    ['GET', '/soap'],
    ['GET', '/?wsdlx'],
    ['GET', '/etc/passwd'],
    ['GET', '/%zz'],
    ['GET', '/..%2f'],
    ['POST', '/other'],
    ['PUT', '/'],
    ['DELETE', '/soap'],
    ['OPTIONS', '/'],
    ['TRACE', '/'],
    ['PROPFIND', '/'],
    ['PATCH', '/healthz'],
  ])('%s %s is refused in a few words', async (method, path) => {
    const answer = await ask(server.port, { method, path, headers: { authorization: ADMIN } });
    expect([400, 404]).toContain(answer.status);
    expect(['bad request\n', 'not found\n']).toContain(answer.body);
  });

  test('no answer tells a version, a path or a stack', async () => {
    const answers = [
      await soap(server.port),
      await soap(server.port, 'Basic !!'),
      await ask(server.port, { path: '/nope', body: 'x' }),
      await ask(server.port, { headers: { authorization: ADMIN }, body: '<' }),
      await ask(server.port, { headers: { authorization: ADMIN }, body: Buffer.alloc(300_000) }),
    ];
    for (const { headers, body } of answers) {
      const told = JSON.stringify(headers) + body;
      expect(told).not.toMatch(/fastify|node|node_modules|\.ts|\.js|FST_|at .*:\d+|v?20\.\d+/i);
      expect(Object.keys(headers)).not.toContain('server');
    }
  });

  test('HTTP/1.0, as SOAPpy speaks it', async () => {
    const connection = await rawConnection(server.port);
    connection.socket.write(
      `POST / HTTP/1.0\r\nAuthorization: ${ADMIN}\r\nContent-type: text/xml\r\nContent-length: ${ENVELOPE.length}\r\n\r\n${ENVELOPE}`,
    );
    await connection.closed;
    expect(connection.text()).toMatch(
      /^HTTP\/1\.1 200 [\s\S]*content-length: \d+[\s\S]*dtc-xen 127\.0\.0\.1/,
    );
    expect(connection.text()).not.toContain('chunked');
  });
});
