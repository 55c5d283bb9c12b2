"""What tasks of one kind share: CIFAR, ImageNet, language models, Llama, large batches."""
