/**
 * What kubectl and helm send of kinds that they were built with: Protocol Buffers behind four bytes `k8s\0` (apimachinery's
 * runtime.Unknown). Names, and of a Pod where it runs and what; the rest is left out.
 */
import { bytesField, readFields, textField, type WireField } from '../../src/cli/scale/protobuf.js';
import type { ClusterObject } from './daemonPods.js';

const MAGIC = 'k8s\0';
const NOTHING = new Uint8Array();

const inner = (fields: readonly WireField[], number: number) =>
  readFields(bytesField(fields, number) ?? NOTHING);
const texts = (fields: readonly WireField[], number: number) =>
  fields.filter(([each]) => each === number).map(([, value]) => Buffer.from(value as Uint8Array).toString());

/** undefined: it is no such message. */
export function protobufObject(body: Buffer): ClusterObject | undefined {
  if (body.subarray(0, MAGIC.length).toString('latin1') !== MAGIC) return undefined;
  const unknown = readFields(body.subarray(MAGIC.length));
  const type = inner(unknown, 1);
  const object = inner(unknown, 2);
  const metadata = inner(object, 1);
  const kind = textField(type, 2);
  return {
    apiVersion: textField(type, 1),
    kind,
    metadata: { name: textField(metadata, 1), generateName: textField(metadata, 2) },
    ...(kind === 'Pod' ? { spec: podSpec(inner(object, 2)) } : {}),
  };
}

function podSpec(spec: readonly WireField[]): Readonly<Record<string, unknown>> {
  const containers = spec
    .filter(([number]) => number === 2)
    .map(([, value]) => {
      const container = readFields(value as Uint8Array);
      return {
        name: textField(container, 1),
        image: textField(container, 2),
        // Debug containers are given their words as the command.
        command: texts(container, 3),
        args: texts(container, 4),
      };
    });
  const hostNetwork = spec.some(([number, value]) => number === 11 && value === 1);
  return { nodeName: textField(spec, 10), hostNetwork, containers };
}
