/** What Services asked for that IPVS does not have, and what they get instead. */
import { objectName } from '../../../objects/ApiObject.js';
import type { Problem } from '../../../objects/Problem.js';
import type { ServicePortChange } from '../../../routing/ChangeSet.js';
import { schedulingNote } from './scheduling.js';

export class SchedulingNotes {
  /** By service port; only of those that have something to say. */
  readonly #notes = new Map<string, Problem>();

  take(changes: readonly ServicePortChange[]): void {
    for (const { key, after } of changes) {
      const note = after && schedulingNote(after);
      if (note === undefined || !after) this.#notes.delete(key);
      else {
        const subject = objectName({ kind: 'Service', namespace: after.namespace, name: after.service });
        this.#notes.set(key, { subject, message: note });
      }
    }
  }

  /** One for each Service, however many ports it has. */
  problems(): Problem[] {
    return [...new Map([...this.#notes.values()].map((note) => [note.subject, note])).values()];
  }
}
