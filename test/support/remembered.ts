/** What a pure function answered, kept: histories ask the same again and again. */

/** Texts that are kept of one function; then it begins anew. */
const MOST = 20_000;

/** The function, which is asked once for each text. What it answers is shared, so nobody may change it. */
export function remembered<Answer>(ask: (text: string) => Answer): (text: string) => Answer {
  const known = new Map<string, Answer>();
  return (text) => {
    const found = known.get(text);
    if (found !== undefined || known.has(text)) return found as Answer;
    if (known.size >= MOST) known.clear();
    const answer = ask(text);
    known.set(text, answer);
    return answer;
  };
}
