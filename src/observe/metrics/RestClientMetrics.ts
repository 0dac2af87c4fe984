/**
 * Requests to the API server under the names of Kubernetes' own client (k8s.io/component-base/metrics/prometheus/restclient),
 * with its buckets.
 */
import { Counter, Histogram, type Registry } from 'prom-client';

/** Seconds. */
const DURATION_BUCKETS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60];
/** Bytes. */
const SIZE_BUCKETS = [64, 256, 512, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216];
/** The code of a request that nobody answered. */
const NO_ANSWER = '<error>';

export interface AnsweredRequest {
  readonly method: string;
  /** `10.0.0.1:6443` */
  readonly host: string;
  readonly milliseconds: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

export class RestClientMetrics {
  readonly #requests: Counter<'code' | 'host' | 'method'>;
  readonly #duration: Histogram<'host' | 'verb'>;
  readonly #requestSize: Histogram<'host' | 'verb'>;
  readonly #responseSize: Histogram<'host' | 'verb'>;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#requests = new Counter({
      name: 'rest_client_requests_total',
      help: 'Requests to the API server by status code, method and host.',
      labelNames: ['code', 'host', 'method'],
      registers,
    });
    const histogram = (name: string, help: string, buckets: number[]) =>
      new Histogram({ name, help, buckets, labelNames: ['host', 'verb'], registers });
    this.#duration = histogram(
      'rest_client_request_duration_seconds',
      'Time of a request to the API server until the end of its answer. Watches do not count.',
      DURATION_BUCKETS,
    );
    this.#requestSize = histogram(
      'rest_client_request_size_bytes',
      'Size of the bodies that were sent to the API server.',
      SIZE_BUCKETS,
    );
    this.#responseSize = histogram(
      'rest_client_response_size_bytes',
      'Size of the bodies that the API server sent. Watches do not count.',
      SIZE_BUCKETS,
    );
  }

  /** `status` undefined: no answer came. */
  answered(method: string, host: string, status: number | undefined): void {
    this.#requests.inc({ code: status ?? NO_ANSWER, host, method });
  }

  completed({ method, host, milliseconds, sentBytes, receivedBytes }: AnsweredRequest): void {
    const labels = { host, verb: method };
    this.#duration.observe(labels, milliseconds / 1000);
    this.#requestSize.observe(labels, sentBytes);
    this.#responseSize.observe(labels, receivedBytes);
  }
}
