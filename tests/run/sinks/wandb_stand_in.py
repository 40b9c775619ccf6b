"""What Weights & Biases documents of `init`, `log`, `define_metric` and `finish`, in memory."""


class Image:
    def __init__(self, data):
        self.data = data


class WandB:
    """The module, and the server behind it.

    Rows are numbered and must rise; a row takes values until a higher one begins or the run is
    finished, and reaches the server then.
    """

    Image = Image

    def __init__(self):
        self.inits = []
        self.rows = {}
        self.refused = []
        self.axes = {}

    def init(self, *, project, id, name, resume, config, dir):
        assert resume in ("allow", "must", "never", "auto", None)
        assert not (resume == "never" and id in self.rows)
        self.inits.append({"project": project, "id": id, "name": name, "config": config})
        return WandBRun(self, self.rows.setdefault(id, {}))


class WandBRun:
    def __init__(self, server, rows):
        self._server, self._rows, self._open = server, rows, {}
        self.step = max(rows, default=-1) + 1
        self.finished = 0

    def define_metric(self, name, step_metric=None):
        self._server.axes[name] = step_metric

    def log(self, data, step):
        assert not self.finished
        if step < self.step:
            self._server.refused.append((step, data))
            return
        if step > self.step:
            self._commit()
            self.step = step
        self._open.update(data)

    def finish(self):
        self._commit()
        self.finished += 1

    def _commit(self):
        if self._open:
            self._rows[self.step] = self._open
            self._open = {}
