/** How to reach an API server, and as whom: what a kubeconfig or a pod's own files come down to. */
export interface Connection {
  /** `https://10.0.0.1:6443`, without a / at the end. */
  readonly server: string;
  /** PEM. `file` is read again when a connection is made anew, so that a rotated CA is taken up. */
  readonly ca: Secret | undefined;
  /** Name that the server's certificate must carry; undefined: that in the URL. */
  readonly tlsServerName: string | undefined;
  readonly verify: 'certificate' | 'nothing';
  /** URL of an HTTP proxy. */
  readonly proxy: string | undefined;
  /** What long answers may come as. */
  readonly compression: 'gzip' | 'none';
  readonly user: User;
}

export type Secret =
  | { readonly type: 'data'; readonly data: string }
  | { readonly type: 'file'; readonly path: string };

export interface User {
  readonly token: Secret | undefined;
  readonly certificate: { readonly cert: Secret; readonly key: Secret } | undefined;
  readonly basic: { readonly username: string; readonly password: string } | undefined;
  readonly exec: ExecPlugin | undefined;
}

/** A program that prints an ExecCredential (client.authentication.k8s.io/v1). */
export interface ExecPlugin {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly apiVersion: string;
  readonly installHint: string;
  readonly provideClusterInfo: boolean;
}

export const NOBODY: User = { token: undefined, certificate: undefined, basic: undefined, exec: undefined };
