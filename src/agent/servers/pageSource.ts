/** The page of the agent itself asks the admin API without a detour. */
import { PenstockError } from '../../errors.js';
import { AdminQuestion } from '../../observe/admin/AdminQuestion.js';
import type { AdminApi } from '../../observe/admin/AdminServer.js';
import type { FlowLog } from '../../observe/flows/FlowLog.js';
import type { PageSource } from '../../observe/page/PageSource.js';

export function pageSource(api: AdminApi, flows: Pick<FlowLog, 'follow'>): PageSource {
  return {
    ask: async (path, words = {}) => {
      const answer = await api(new AdminQuestion(`${path}?${new URLSearchParams(words)}`));
      if ('json' in answer) return answer.json;
      throw new PenstockError('PENSTOCK_WRONG_CALL', `${path} is no list`);
    },
    follow: (heard) => flows.follow(heard),
  };
}
