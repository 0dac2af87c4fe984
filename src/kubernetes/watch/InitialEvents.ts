/** Whether the server begins a watch with everything there is (KEP-3157). What one reflector finds out, all know. */
export class InitialEvents {
  #expected = true;

  get expected(): boolean {
    return this.#expected;
  }

  /** The server refused to send them, or does not know that it should. */
  missing(): void {
    this.#expected = false;
  }
}
