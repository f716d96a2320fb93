import type { Moves } from '../core/moves.ts';
import { type ReceiverOptions, receiveVps } from './receive.ts';
import { type SenderOptions, sendVps } from './send.ts';

/** Makes {@link Moves}. */
export function createMoves(options: SenderOptions & ReceiverOptions): Moves {
  return {
    send: (move, watch) => sendVps(options, move, watch),
    receive: (vps, connection) => receiveVps(options, vps, connection),
  };
}
