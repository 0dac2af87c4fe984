/** A listener that holds what the changes make: what the agent would believe. */
import type { SourceListener } from '../../src/kubernetes/ObjectSource.js';
import { type ApiObject, type ObjectChange, objectName, refOf } from '../../src/objects/ApiObject.js';
import type { Problem } from '../../src/objects/Problem.js';
import { sameObject } from '../../src/objects/sameObject.js';

export class StoreListener implements SourceListener {
  readonly objects = new Map<string, ApiObject>();
  problemList: readonly Problem[] = [];
  completed = 0;
  /** Changes that changed nothing: there must be none. */
  readonly needless: string[] = [];

  changes(batch: readonly ObjectChange[]): void {
    for (const change of batch) {
      const key = objectName(change.type === 'delete' ? change.ref : refOf(change.object));
      const before = this.objects.get(key);
      if (change.type === 'delete') {
        if (!this.objects.delete(key)) this.needless.push(`- ${key}`);
      } else {
        if (before && sameObject(before, change.object)) this.needless.push(`+ ${key}`);
        this.objects.set(key, change.object);
      }
    }
  }

  complete(): void {
    this.completed++;
  }

  problems(list: readonly Problem[]): void {
    this.problemList = list;
  }
}
