"""kdistill's engine with mixup, whose teacher is asked about every image; or with `--teacher-alone`, the teacher alone.

Without mixup an epoch of `benchmarks.ours` is the student's steps. With it the teacher's forward pass over all images
comes to it, in every epoch, and the mixing of the images for both.
"""

from benchmarks import ours, protocol, workload

MIXUP = 0.2


def main() -> None:
    """Run the worker."""
    parser = protocol.parser(__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--teacher-alone", action="store_true", help="its forward pass over the images of an epoch")
    options = parser.parse_args()
    session = protocol.Session()
    from kdistill.core import backend

    backend.start(options.threads, device="cpu")
    import dataclasses

    from kdistill.evaluation import predict
    from kdistill.training.augmentation import Augmentation

    source = workload.load(images=options.images, batch=options.batch)
    asked = predict.predictor(ours.mlp(workload.TEACHER, seed=2))
    data = ours.with_teacher(source)
    if options.teacher_alone:
        protocol.serve(session, lambda: predict.logits(asked, data.train), data=source.source)
        return
    data = dataclasses.replace(data, teacher_train=None, teachers=(asked,), augmentation=Augmentation(mixup=MIXUP))
    epochs = ours.fit(options, data).epochs()
    protocol.serve(session, lambda: next(epochs), data=source.source)


if __name__ == "__main__":
    main()
