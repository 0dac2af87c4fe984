/** Sends many independent changes, a message each, with few sendmsg; each refusal finds its change. */
import { MessageFlag } from './constants.js';
import { MessageWriter } from './MessageWriter.js';
import type { NetlinkChannel } from './NetlinkChannel.js';
import { NetlinkError } from './NetlinkError.js';

/** Messages of one sendmsg. Were each refused, the answers must still fit a receive buffer of 208 KiB. */
const MESSAGES_PER_BATCH = 128;

export interface Refused<Change> {
  readonly change: Change;
  readonly error: NetlinkError;
}

/** A name for programs and words for people. */
export interface ErrorWords {
  readonly code: string;
  readonly words: string;
}

export interface ChangeCodec<Change> {
  /** Writes the one message of a change, ended. */
  put(writer: MessageWriter, change: Change): void;
  /** For errors: the change in words an administrator knows. */
  print(change: Change): string;
  /** What the kernel's error number means in this part of it. */
  explain?(errno: number): ErrorWords | undefined;
}

/**
 * Carries out the changes in their order. Resolves to those that were refused; the others took effect. Rejects with
 * NetlinkError when the kernel does not answer; then a part of them may have taken effect.
 */
export async function commitChanges<Change>(
  channel: NetlinkChannel,
  changes: readonly Change[],
  codec: ChangeCodec<Change>,
): Promise<readonly Refused<Change>[]> {
  const refused: Refused<Change>[] = [];
  const writer = new MessageWriter();
  for (let first = 0; first < changes.length; first += MESSAGES_PER_BATCH) {
    const batch = changes.slice(first, first + MESSAGES_PER_BATCH);
    writer.clear();
    for (const change of batch) codec.put(writer, change);
    writer.addFlags(MessageFlag.ACK);
    const [example] = batch;
    const what = example === undefined || batch.length > 1 ? `${batch.length} changes` : codec.print(example);
    for (const error of await channel.batch(what, writer)) {
      const change = batch[error.index ?? 0];
      if (change !== undefined) refused.push({ change, error: asErrorOf(codec, change, error) });
    }
  }
  return refused;
}

function asErrorOf<Change>(codec: ChangeCodec<Change>, change: Change, error: NetlinkError): NetlinkError {
  const { errno, kernelText, offset } = error;
  return new NetlinkError(codec.print(change), { errno, kernelText, offset, ...codec.explain?.(errno) });
}
