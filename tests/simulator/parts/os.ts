import { machine } from '../machine.ts';

export const hostname = () => 'node';
export const release = () => '6.12.0';
export const uptime = () => machine.uptime_ms() / 1000;
export const tmpdir = () => '/tmp';
