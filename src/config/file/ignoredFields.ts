/** Fields that are taken, so that one file serves kube-proxy and penstock, and that change nothing here. */
import { pathOf, valueAt } from './ConfigFault.js';
import { DEFAULT_CONFIGURATION, type KubeProxyConfiguration } from './KubeProxyConfiguration.js';

export interface IgnoredField {
  readonly field: string;
  /** Why it changes nothing. */
  readonly why: string;
}

const IN_USERSPACE = 'it is for mode userspace';
const ON_WINDOWS = 'it is for Windows';
const ONE_STREAM = 'every line is written at once, to standard output';

const IGNORED: readonly (IgnoredField & { readonly unlessMode?: string; readonly onlyMode?: string })[] = [
  { field: 'winkernel', why: ON_WINDOWS },
  { field: 'windowsRunAsService', why: ON_WINDOWS },
  { field: 'portRange', why: IN_USERSPACE, unlessMode: 'userspace' },
  { field: 'udpIdleTimeout', why: IN_USERSPACE, unlessMode: 'userspace' },
  { field: 'penstock.algorithm', why: 'mode ipvs has ipvs.scheduler', onlyMode: 'ipvs' },
  { field: 'clientConnection.contentType', why: 'the API server is asked for JSON' },
  { field: 'clientConnection.acceptContentTypes', why: 'the API server is asked for JSON' },
  { field: 'logging.flushFrequency', why: ONE_STREAM },
  { field: 'logging.vmodule', why: 'the log has one level for all files; set logging.verbosity' },
  { field: 'logging.options', why: ONE_STREAM },
];

/** Those of the configuration that have another value than their default. */
export function ignoredFields(source: KubeProxyConfiguration): readonly IgnoredField[] {
  return IGNORED.filter(({ field, unlessMode, onlyMode }) => {
    const path = pathOf(field);
    const isSet =
      JSON.stringify(valueAt(source, path)) !== JSON.stringify(valueAt(DEFAULT_CONFIGURATION, path));
    return isSet && source.mode !== unlessMode && (onlyMode === undefined || source.mode === onlyMode);
  }).map(({ field, why }) => ({ field, why }));
}
