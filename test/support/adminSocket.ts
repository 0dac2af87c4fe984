/** The admin socket of the agent in this network namespace: others that ended badly may have left theirs. */
import { AgentClient } from '../../src/cli/see/AgentClient.js';

export async function adminSocket(): Promise<string> {
  const agent = await AgentClient.find();
  if (agent === undefined) throw new Error('no agent answers');
  return agent.path;
}
