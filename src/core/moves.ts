import type { Readable, Writable } from 'node:stream';
import type { VpsId } from './vps.ts';

/** Which VPS goes to which node, and what it is called there. */
export interface Move {
  readonly vps: VpsId;
  /** `[USER@]HOST`, as ssh takes it. */
  readonly host: string;
  readonly dest: VpsId;
}

/** Who watches a move. */
export interface MoveWatch {
  /** Told often how far it is. */
  onProgress(told: string): void;
  /** Told at once what an admin should look at. */
  onWarning(told: string): void;
}

/** Moves of stopped VPSes between nodes. No data is deleted, on either node, but what a failed move has itself made. */
export interface Moves {
  /**
   * Sends a VPS to another node. Nothing is deleted here; its autostart link goes when the other node has all of it.
   *
   * @returns what was done and what the admin does next, in lines
   * @throws AgentError saying which node refused, and what is where then
   */
  send(move: Move, watch: MoveWatch): Promise<string>;
  /**
   * Receives a VPS under this name: the other end of {@link send}. Its configuration appears when every byte of its disks has
   * been read back from them and is what was sent; where anything fails before, nothing of it stays. What fails is answered
   * over the connection, and thrown.
   */
  receive(vps: VpsId, connection: { readonly input: Readable; readonly output: Writable }): Promise<void>;
}
