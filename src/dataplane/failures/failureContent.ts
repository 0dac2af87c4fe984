/** The table that tells of failing connections, as KeyTable takes it. */
import type { KeyTableContent } from '../family/KeyTable.js';
import { failureElements } from './failureElements.js';
import { FAILURE_TABLE, type FailureSettings, failureChains, failureSets } from './failureSets.js';

export const FAILURE_CONTENT: KeyTableContent<FailureSettings> = {
  name: FAILURE_TABLE,
  sets: failureSets,
  chains: failureChains,
  elements: failureElements,
};
