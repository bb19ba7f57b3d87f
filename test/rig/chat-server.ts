import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach } from "vitest";

/** What a client sent. */
export interface ChatRequest<Body> {
  readonly headers: IncomingMessage["headers"];
  readonly body: Body;
}

/** OpenAI-compatible servers on free ports; they end with the test that started them. */
export function chatServers<Body>() {
  const stops: (() => Promise<void>)[] = [];
  afterEach(() => Promise.all(stops.splice(0).map((stop) => stop())));

  /** Serves what `answer` says to each request; `count` is 1 for the first. */
  return async (answer: (request: ChatRequest<Body>, response: ServerResponse, count: number) => void) => {
    const requests: ChatRequest<Body>[] = [];
    const server = createServer((request, response) => {
      void text(request).then((body) => {
        const parsed = { headers: request.headers, body: JSON.parse(body) as Body };
        requests.push(parsed);
        answer(parsed, response, requests.length);
      });
    });
    const stop = (): Promise<void> =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    stops.push(stop);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const params = {
      backend: "openai",
      model: "test-model",
      baseUrl: `http://127.0.0.1:${port}/v1`,
      requestRetries: 0,
    };
    return { requests, params, stop };
  };
}

/** Answers with a message of a model. */
export function complete(response: ServerResponse, content: unknown, usage?: object): void {
  response.writeHead(200, { "content-type": "application/json" });
  const choices = [{ index: 0, message: { role: "assistant", content } }];
  response.end(JSON.stringify({ choices, ...(usage && { usage }) }));
}

/** Answers with an error. */
export function refuse(response: ServerResponse, status: number, headers = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify({ error: { message: `status ${status} it is` } }));
}
