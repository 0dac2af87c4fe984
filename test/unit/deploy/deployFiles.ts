/** The files of deploy/, and what of a manifest the tests look at. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse, parseAllDocuments } from 'yaml';
import { fromRoot } from '../../support/fromRoot.js';

export const ROOT = fileURLToPath(fromRoot(''));

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly args?: readonly string[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly readinessProbe?: { readonly httpGet: { readonly path: string; readonly port: string } };
  readonly livenessProbe?: { readonly httpGet: { readonly path: string; readonly port: string } };
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
  readonly securityContext?: Readonly<Record<string, unknown>>;
}

export interface PodSpec {
  readonly serviceAccountName?: string;
  readonly hostNetwork?: boolean;
  readonly priorityClassName?: string;
  readonly tolerations?: readonly object[];
  readonly initContainers: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes: readonly { readonly name: string; readonly configMap?: { readonly name: string } }[];
}

/** A manifest, as far as a test asks. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
    readonly template: { readonly metadata: { readonly labels: object }; readonly spec: PodSpec };
    readonly podMetricsEndpoints: readonly {
      readonly port: string;
      readonly relabelings: readonly object[];
    }[];
  };
}

export interface Kustomization {
  readonly kind: 'Kustomization' | 'Component';
  readonly resources?: readonly string[];
  readonly components?: readonly string[];
  readonly configMapGenerator?: readonly { readonly name: string; readonly files: readonly string[] }[];
  readonly patches?: readonly { readonly patch: string; readonly target: { readonly name: string } }[];
}

export function read(path: string): string {
  return readFileSync(`${ROOT}${path}`, 'utf8');
}

/** The one document of a file of deploy/. */
export function document<T = Manifest>(path: string): T {
  return parse(read(`deploy/${path}`), { merge: true }) as T;
}

/** Every document; YAML that is none throws. */
export function documents(path: string): readonly Manifest[] {
  return parseAllDocuments(read(`deploy/${path}`)).map((each) => {
    if (each.errors.length > 0) throw each.errors[0];
    return each.toJS() as Manifest;
  });
}

/** Folders of deploy/ with a kustomization. */
export const FOLDERS = readdirSync(`${ROOT}deploy`, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && existsSync(`${ROOT}deploy/${entry.name}/kustomization.yaml`))
  .map((entry) => entry.name)
  .sort();

export function filesOf(folder: string): readonly string[] {
  return readdirSync(`${ROOT}deploy/${folder}`);
}

/** Containers of all kinds. */
export function containersOf({ initContainers, containers }: PodSpec): readonly Container[] {
  return [...initContainers, ...containers];
}
