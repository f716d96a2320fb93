// Where a guest's screen is: in the port that its number gives, and never open to others without a password.
import { expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { screenOf, tellScreen } from '../../src/core/screens.ts';
import { parseVpsId, type VpsId } from '../../src/core/vps.ts';

const vps = (number: string) => parseVpsId(number) as VpsId;
const config = parseConfig('vnc_listen=0.0.0.0\n');

it('listens where vnc_listen says, with what VNC looks at of the password', () => {
  expect(screenOf(vps('08'), config, 'passwort-lang')).toEqual({
    display: 8,
    address: '0.0.0.0',
    port: 5908,
    password: 'passwort',
  });
});

it('without a password is on loopback alone', () => {
  expect(screenOf(vps('08'), config, undefined)).toMatchObject({ address: '127.0.0.1', password: undefined });
});

it("is refused at the SOAP server's own port, and above the last one", () => {
  expect(() => screenOf(vps('2189'), config, 'x')).toThrow(
    "xen2189 cannot have a screen: port 8089, 5900 and its number, is the SOAP server's own. Order it with no_vnc.",
  );
  expect(screenOf(vps('59635'), config, 'x').port).toBe(65_535);
  expect(() => screenOf(vps('59636'), config, 'x')).toThrow('there is no port 65536');
});

it('tells the way there: a tunnel to loopback, an address that others reach, and what the password is worth', () => {
  const screen = screenOf(vps('08'), config, 'geheim');
  expect(tellScreen(screen, 'geheim')).toBe('Its screen is at port 5908 of every address of the node');
  expect(tellScreen({ ...screen, address: '192.0.2.1' }, 'geheimnis')).toBe(
    'Its screen is at port 5908 of 192.0.2.1; VNC looks at the first 8 characters of the password',
  );
  expect(tellScreen(screenOf(vps('08'), config, undefined), 'geheim')).toBe(
    'Its screen is at port 5908 of 127.0.0.1 on the node: an admin reaches it by ssh -L 5908:127.0.0.1:5908 root@NODE, with a VNC viewer at localhost:5908; ' +
      "it has no password: the node's qemu cannot check one (it has no DES), and whoever has a shell on the node sees it",
  );
});
