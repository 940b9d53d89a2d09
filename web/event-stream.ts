/** Server-sent events read by fetch: EventSource can send no header, and the session's key is one. */

/** As far as a node sends them: `\n` only, JSON in one `data` line. */
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<{ event: string; data: unknown }> {
  let event = 'message';
  let data: string | null = null;
  for await (const line of linesOf(body)) {
    if (line === '') {
      if (data !== null) yield { event, data: JSON.parse(data) as unknown };
      event = 'message';
      data = null;
    } else if (line.startsWith('event: ')) event = line.slice(7);
    else if (line.startsWith('data: ')) data = line.slice(6);
  }
}

/** Streams can't be iterated in every browser yet. */
async function* linesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + decoder.decode(value, { stream: true })).split('\n');
      rest = lines.pop()!;
      yield* lines;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
